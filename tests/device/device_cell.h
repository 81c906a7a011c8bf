// SPDX-License-Identifier: MIT
// Formulas of a user's own cells: one that device_cell.cu registers for CUDA, one that nobody does.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::test {

struct MinimalGate {  // h' = h + sigmoid(f) (tanh(n) - h)
  static constexpr const char* name = "minimal_gate";
  TL_HD auto operator()(auto f, auto n, auto h) const { return h + sigmoid(f) * (tanh(n) - h); }
};

struct ForgottenGate {
  static constexpr const char* name = "forgotten_gate";
  TL_HD auto operator()(auto x, auto y) const { return x * y + x; }
};

// An update rule as a user writes one, with no kernel for many parameters at once.
struct PlainDescent {
  static constexpr const char* name = "plain_descent";
  float rate = 1;
  TL_HD auto operator()(auto p, auto dp) const { return p - rate * dp; }
};

// A cell's formula that is registered as pointwise only.
struct PointwiseOnly {
  static constexpr const char* name = "pointwise_only";
  TL_HD auto operator()(auto z) const { return tanh(z); }
};

// In device_cell.cu; without CUDA both say false.
bool register_cells();
bool is_minimal_gate(const void* id);  // whether that is what nvcc's code knows the functor by

}  // namespace tapeloop::test
