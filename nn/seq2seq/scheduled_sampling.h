// SPDX-License-Identifier: MIT
// Scheduled sampling: how often a decoder in training is fed the truth instead of its own last symbol. Bengio, Vinyals,
// Jaitly & Shazeer 2015, arXiv:1506.03099. The schedule only: decoder.h acts on it.
#pragma once

#include <cstdint>

namespace tapeloop::nn {

struct ScheduledSampling {
  enum class Decay {
    none,            // always the truth: teacher forcing
    linear,          // start - slope i
    exponential,     // k^i                      k < 1
    inverse_sigmoid  // k / (k + e^(i / k))      k >= 1
  };
  Decay decay = Decay::none;
  double k = 0;         // of exponential and inverse sigmoid
  double start = 1;     // of linear
  double slope = 0;     // of linear, for each update
  double at_least = 0;  // no smaller than this
  // The probability of the truth at update i, counted from 0. Throws where the settings do not fit the kind.
  double truth_probability(std::int64_t update) const;
};

}  // namespace tapeloop::nn
