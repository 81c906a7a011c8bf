// SPDX-License-Identifier: MIT
// Scheduled sampling: how often a decoder in training gets the true symbol instead of its
// own last one. Bengio, Vinyals, Jaitly & Shazeer 2015, arXiv:1506.03099. Only the
// schedule: decoder.h applies it.
#pragma once

#include <cstdint>

namespace tapeloop::nn {

// The schedule: one of four curves over the updates.
struct ScheduledSampling {
  // How the probability of the true symbol falls with the update i.
  enum class Decay {
    none,            // always the true symbol: teacher forcing
    linear,          // start - slope i
    exponential,     // k^i                      k < 1
    inverse_sigmoid  // k / (k + e^(i / k))      k >= 1
  };
  Decay decay = Decay::none;  // the curve
  double k = 0;               // for exponential and inverse sigmoid
  double start = 1;           // for linear
  double slope = 0;           // for linear: decrease in each update
  double at_least = 0;        // lower bound of the probability
  // The probability of the true symbol at update i, counted from 0. Throws if the
  // settings do not fit the kind.
  double truth_probability(std::int64_t update) const;
};

}  // namespace tapeloop::nn
