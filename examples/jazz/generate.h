// SPDX-License-Identifier: MIT
// Draws tunes over a chord chart from a trained model.
// It chooses nothing by rule but what cannot be: notes outside the range, or behind the chart.
#pragma once

#include <vector>

#include "examples/jazz/material.h"
#include "examples/jazz/model.h"
#include "nn/sampling.h"

namespace jazz {

struct GenerateOptions {
  double temperature = 1;  // of pitches; 0: always the likeliest
  double top_p = 0.95;     // of pitches
  // Of deltas and durations, all of which may be drawn: cutting off what is rare would cut off the
  // rests between phrases.
  double rhythm_temperature = 1.1;
  std::uint64_t seed = 0;
  int lowest = kLowestMelody;  // MIDI numbers, both included
  int highest = kHighestMelody;
  bool one_voice = true;  // no two notes at once
};

// Sets the range and the number of voices to those of the material.
void fit_to(GenerateOptions& options, const Material& material);

// Take number k is drawn with random numbers of its own, so it is the same for any number of takes.
// Each ends where the chart does: the first note that would begin behind it is not taken, and none
// sounds on. Throws std::invalid_argument where takes < 1 or the chart is empty.
std::vector<Tune> generate(const Model& model, const Tune& chart, int takes,
                           const GenerateOptions& options);

}  // namespace jazz
