// SPDX-License-Identifier: MIT
// The output for the generated tunes: files to hear and see, and figures beside the corpus. It
// judges only by the numbers of measures.h.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "examples/jazz/material.h"
#include "examples/jazz/measures.h"

namespace jazz {

struct OutputFiles {
  std::string midi;
  std::string picture;
  std::string sound;
};

// Writes the tune as MIDI, as SVG and, if fluidsynth is available, as WAV; prints the result of
// each. Tunes with chords get a rhythm section and swing. Throws FileError or std::runtime_error.
void write_tune(const Tune& tune, const OutputFiles& files, std::uint64_t seed);

struct Judgement {
  Measures generated;  // of all takes
  Measures written;    // of the first take, which is written
  Measures corpus;
  // The aims that numbers can check.
  // Difference of chord tones between generated and corpus, in percentage points; NaN without
  // chords.
  double points_apart = 0;
  bool chord_tones_met = false;  // within 10 points
  bool copying_met = false;      // under 20 % of 8-note runs, in any key
};

Judgement judge(std::span<const Tune> takes, const Material& material);

// Prints the table generated beside corpus, and for each aim whether it is met.
void print(const Judgement& judgement);

nlohmann::json to_json(const Judgement& judgement);
nlohmann::json to_json(const NatsPerNote& nats);

}  // namespace jazz
