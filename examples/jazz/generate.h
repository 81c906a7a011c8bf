// SPDX-License-Identifier: MIT
// Draws tunes over a chord chart from a trained model.
// It chooses nothing by rule, and only forbids what the material never has: notes out of its range,
// steps in time that lead off its grid, a second voice.
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
  // Of deltas and durations, which know no top_p: it would cut off the rests between phrases.
  double rhythm_temperature = 1.1;
  std::uint64_t seed = 0;
  int lowest = kLowestMelody;  // MIDI numbers, both included
  int highest = kHighestMelody;
  bool one_voice = true;  // no two notes at once
  // Which deltas may follow a place in the beat; all if empty. One freak step would lead to places
  // that training never saw, and from there no way back is known.
  std::set<std::pair<int, int>> steps = {};  // (units since the last quarter, delta class)
};

// Sets the range, the number of voices and the steps to those of the material.
void fit_to(GenerateOptions& options, const Material& material);

// Take number k is drawn with random numbers of its own, so it is the same for any number of takes.
// Each ends where the chart does: the first note that would begin behind it is not taken, and none
// sounds on. Throws std::invalid_argument where takes < 1 or the chart is empty.
std::vector<Tune> generate(const Model& model, const Tune& chart, int takes,
                           const GenerateOptions& options);

}  // namespace jazz
