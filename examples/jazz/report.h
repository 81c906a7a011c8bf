// SPDX-License-Identifier: MIT
// What is made of the generated tunes: files to hear and see, and figures beside the corpus.
// It judges by the numbers of measures.h alone.
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

// Writes the tune as MIDI and SVG and, if that is possible here, as WAV; prints what became of
// each.
// Tunes with chords get a rhythm section and swing. Throws FileError or std::runtime_error.
void write_tune(const Tune& tune, const OutputFiles& files, std::uint64_t seed);

struct Judgement {
  Measures generated;  // of all takes
  Measures written;    // of the first, the one that is written
  Measures corpus;
  // The aims; only those that can be counted here are looked at.
  double points_apart = 0;  // chord tones of generated and corpus, NaN where there are no chords
  bool chord_tones_met = false;  // within 10 points
  bool copying_met = false;      // under 20 % of 8-note runs, in any key
};

Judgement judge(std::span<const Tune> takes, const Material& material);

// The table generated beside corpus, and a line for each aim, met or missed.
void print(const Judgement& judgement);

nlohmann::json to_json(const Judgement& judgement);
nlohmann::json to_json(const NatsPerNote& nats);

}  // namespace jazz
