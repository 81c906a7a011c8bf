// SPDX-License-Identifier: MIT
// A copy of the built-in LSTM's formula under other names, in user code. Includes only math.h, for
// nvcc.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace my {

struct Gates {
  static constexpr const char* name = "my_lstm_gates";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto c) const {
    auto c_next = sigmoid(f) * c + sigmoid(i) * tanh(g);
    return tapeloop::outputs(sigmoid(o) * tanh(c_next), c_next);
  }
};

}  // namespace my
