// SPDX-License-Identifier: MIT
// Draws tunes over a chord chart from a trained model.
// It follows no musical rules. It only forbids what the material never has: notes out of its range,
// time steps off its grid, a second voice.
#pragma once

#include <set>
#include <utility>
#include <vector>

#include "examples/jazz/material.h"
#include "examples/jazz/model.h"
#include "tapeloop/nn/decode/sampling.h"

namespace jazz {

struct GenerateOptions {
  double temperature = 1;  // of pitches; 0: always the likeliest
  double top_p = 0.98;     // of pitches
  // For deltas and durations. They have no top_p: it would cut off the rests between phrases.
  double rhythm_temperature = 1.1;
  std::uint64_t seed = 0;
  int lowest = kLowestMelody;  // MIDI numbers, both included
  int highest = kHighestMelody;
  bool one_voice = true;  // no two notes at once
  // The deltas that may follow a place in the beat; empty: all. One odd step would lead to places
  // that training never saw, and the model would not find back.
  std::set<std::pair<int, int>> steps = {};  // (units since the last quarter, delta class)
};

// Sets the range, the number of voices and the time steps to those of the material.
void fit_to(GenerateOptions& options, const Material& material);

// Each take has its own random numbers, so take k is the same for any number of takes. A take ends
// with the chart: it has no note that begins after the end, and notes are cut there. Throws
// std::invalid_argument if takes < 1 or the chart is empty.
std::vector<Tune> generate(const Model& model, const Tune& chart, int takes,
                           const GenerateOptions& options);

}  // namespace jazz
