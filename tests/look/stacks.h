// SPDX-License-Identifier: MIT
// Recurrent stacks and their inputs, for the tests that look inside.
#pragma once

#include "tapeloop/nn/nn.h"

namespace tapeloop::test {

template <class T>
nn::Recurrent<T> stack(int layers, bool bidirectional = false, nn::Recompute recompute = {}) {
  Random random(3);
  return {{.input = 3,
           .hidden = 5,
           .layers = layers,
           .bidirectional = bidirectional,
           .dtype = DType::float64,
           .recompute = recompute},
          random};
}

inline Var inputs(std::int64_t t, std::int64_t n, DType dtype = DType::float64) {
  Random random(5);
  return Var(random_normal({t, n, 3}, 0, 1, random, dtype));
}

}  // namespace tapeloop::test
