// SPDX-License-Identifier: MIT
// 1. The formula of a recurrent cell that no library has. Includes only math.h, so that nvcc can
// compile it too.
#pragma once

#include "tapeloop/autograd/number/math.h"

// "Two clocks": a minimal gated unit (Zhou et al. 2016) whose state a second, slow state follows; a
// gate mixes the two. The library makes the kernels for training, float64 checks and second
// derivatives from these lines.
//   fast = (1 - sigmoid(f)) h + sigmoid(f) tanh(n)
//   slow' = slow + rate sigmoid(s) (fast - slow)
//   h' = (1 - sigmoid(o)) fast + sigmoid(o) slow'
struct TwoClocks {
  static constexpr const char* name = "two_clocks";  // the name in errors and graphs
  double rate = 0.5;                                 // a setting: plain numbers, by value
  TL_HD auto operator()(auto f, auto n, auto s, auto o, auto h, auto slow) const {
    auto fast = h + sigmoid(f) * (tanh(n) - h);
    auto slow_next = slow + rate * sigmoid(s) * (fast - slow);
    return outputs(fast + sigmoid(o) * (slow_next - fast), slow_next);
  }
};
