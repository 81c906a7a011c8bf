// SPDX-License-Identifier: MIT
// A tune as a picture: an SVG piano roll in several systems with chord symbols.
// It is for looking at: no function reads it back.
#pragma once

#include <filesystem>
#include <string>

#include "examples/jazz/music/score.h"

namespace jazz {

// SVG text: title, piano keys at the left of each system, bars and beats, chord symbols above, bar
// numbers below, notes coloured by whether they belong to the chord at their onset (a darker shade
// is a louder note). Throws std::invalid_argument for more than 2000 bars.
std::string piano_roll_svg(const Tune& tune);

// Writes the same into a file, by tapeloop::write_file.
void write_piano_roll(const Tune& tune, const std::filesystem::path& path);

}  // namespace jazz
