// SPDX-License-Identifier: MIT
// Chord charts to play over: typed by the user, the standard forms, or bars without chords.
// It reads no files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "examples/jazz/music/score.h"

namespace jazz {

// Reads a chart of 4/4 bars from text such as "F7 | Bb7 | F7 | Cm7 F7": 1, 2 or 4 chords share a
// bar equally. The text may come from a file of any system (common::decode_text). Line ends and
// white space only separate chords. Special signs, such as the flat sign, are understood
// (plain_symbol). Throws std::invalid_argument that names the bar and the wrong chord, or the byte
// that is not text.
Tune parse_chart(std::string_view text);

// The names of the standard forms: "blues", "minor_blues", "rhythm", "251".
std::vector<std::string> form_names();

// Returns one of these forms. For another name, throws a std::invalid_argument that lists them.
Tune standard_form(std::string_view name);

// Makes bars without chords, in the meter, key and tempo of `like`. If the tempo cannot be written
// (a damaged file may state such a tempo), uses the nearest one that can.
Tune empty_chart(const Tune& like, int bars);

// The chart played `choruses` times. Throws std::invalid_argument if that is more than 1000 bars.
Tune repeated(const Tune& chart, int choruses);

}  // namespace jazz
