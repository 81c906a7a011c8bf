// SPDX-License-Identifier: MIT
// Formulas of recurrent steps, of kinds that no built-in cell has. For every compiler: no containers, no text.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::test {

// Three parts of a state, h among the arguments.
struct ThreeParts {
  static constexpr const char* name = "three_parts";
  TL_HD auto operator()(auto a, auto b, auto g, auto h, auto c, auto m) const {
    auto c_next = sigmoid(a) * c + tanh(g) * m;
    auto m_next = m + sigmoid(b) * (h - m);
    return outputs(tanh(c_next + m) * sigmoid(b + h), c_next, m_next);
  }
};

struct Leaky {  // a setting
  static constexpr const char* name = "leaky";
  double rate = 0.5;
  TL_HD auto operator()(auto z, auto h) const { return h + rate * (tanh(z) - h); }
};

struct Apart {  // products apart, without h
  static constexpr const char* name = "apart";
  TL_HD auto operator()(auto x, auto z) const { return tanh(x) * sigmoid(z + 0.5 * x); }
};

}  // namespace tapeloop::test
