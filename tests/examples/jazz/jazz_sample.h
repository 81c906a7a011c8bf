// SPDX-License-Identifier: MIT
// Two short tunes in the corpus's text, for tests.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "examples/jazz/music/corpus.h"
#include "tests/messages.h"

namespace jazz::test {

using tapeloop::test::check_contains, tapeloop::test::kNothingThrown, tapeloop::test::message_of;

inline constexpr const char* kText = R"(# a comment before everything
tune: First Ferry
form: 4 bars
key: F
tempo: 132

F7          | Bb7   Bdim7
. a4 c5 eb5 d5 c5 a4 f4 | (bb4 c5 d5) f5 - d5 - ab4 g4

NC | Gm7 C7 Csus Fmaj7 |
- - . . . . . c6 | - (- a4 .) g3 cb5 b#4 f#5 .

tune: Second Stop
form: 1 bar
key: Cm
tempo: 90

Cm6
c5 - - - - - - -
)";

inline std::vector<Tune> sample() { return parse_corpus(kText, "sample.txt"); }

}  // namespace jazz::test
