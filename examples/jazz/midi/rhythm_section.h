// SPDX-License-Identifier: MIT
// A piano, a bass and a ride cymbal that play the chords of a tune, so that a melody can be heard
// in its context. They follow rules and random numbers and learn nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "examples/jazz/music/score.h"

namespace jazz {

// All functions return straight eighths on the grid of score.h; the MIDI writer swings them. The
// same seed gives the same notes on every machine. Where the tune has no chord, they are silent.

// Shell voicings (third and seventh, the fourth for a suspended chord) in swing rhythms.
std::vector<Note> comping(const Tune& tune, std::uint32_t seed);

// A quarter-note walk: the root where a chord begins, chord tones within, a step into the next
// root on the last beat. Stays in E1..G3 (28..55).
std::vector<Note> walking_bass(const Tune& tune, std::uint32_t seed);

// Ride cymbal on every beat and before every odd one, foot hi-hat on the even beats.
std::vector<Note> ride_cymbal(const Tune& tune, std::uint32_t seed);

}  // namespace jazz
