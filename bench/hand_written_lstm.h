// SPDX-License-Identifier: MIT
// The LSTM's gates and their gradient, carefully written by hand: two loops that save the
// activations. Only the baseline of pointwise_bench.cpp; H must be a multiple of the register's
// width.
//   N batch, H hidden size. z, dz [N, 4H]; saved [N, 5H]: activated gates i f g o, then tanh(c').
#pragma once

#include <cstdint>

#include "tapeloop/autograd/number/math.h"

namespace bench {

// c' = sigmoid(f) c + sigmoid(i) tanh(g);   h' = sigmoid(o) tanh(c')
inline void lstm_forward(std::int64_t n, std::int64_t hidden, const float* z, const float* c,
                         float* saved, float* h_next, float* c_next) {
  using V = tapeloop::Vec<float, tapeloop::isa::Native>;
  for (std::int64_t row = 0; row < n; ++row) {
    for (std::int64_t k = 0; k < hidden; k += V::width) {
      const float* from = z + row * 4 * hidden + k;
      float* to = saved + row * 5 * hidden + k;
      const V i = sigmoid(V::load(from));
      const V f = sigmoid(V::load(from + hidden));
      const V g = tanh(V::load(from + 2 * hidden));
      const V o = sigmoid(V::load(from + 3 * hidden));
      const V cell = fma(f, V::load(c + row * hidden + k), i * g);
      const V tanh_cell = tanh(cell);
      i.store(to);
      f.store(to + hidden);
      g.store(to + 2 * hidden);
      o.store(to + 3 * hidden);
      tanh_cell.store(to + 4 * hidden);
      cell.store(c_next + row * hidden + k);
      (o * tanh_cell).store(h_next + row * hidden + k);
    }
  }
}

// From the gradients dh of h' and dc of c': dz and the gradient of c.
inline void lstm_backward(std::int64_t n, std::int64_t hidden, const float* saved, const float* c,
                          const float* dh, const float* dc, float* dz, float* dc_before) {
  using V = tapeloop::Vec<float, tapeloop::isa::Native>;
  for (std::int64_t row = 0; row < n; ++row) {
    for (std::int64_t k = 0; k < hidden; k += V::width) {
      const float* from = saved + row * 5 * hidden + k;
      float* to = dz + row * 4 * hidden + k;
      const V i = V::load(from);
      const V f = V::load(from + hidden);
      const V g = V::load(from + 2 * hidden);
      const V o = V::load(from + 3 * hidden);
      const V tanh_cell = V::load(from + 4 * hidden);
      const V dh_here = V::load(dh + row * hidden + k);
      const V dcell = fma(dh_here * o, 1 - tanh_cell * tanh_cell, V::load(dc + row * hidden + k));
      (dcell * g * (i * (1 - i))).store(to);
      (dcell * V::load(c + row * hidden + k) * (f * (1 - f))).store(to + hidden);
      (dcell * i * (1 - g * g)).store(to + 2 * hidden);
      (dh_here * tanh_cell * (o * (1 - o))).store(to + 3 * hidden);
      (dcell * f).store(dc_before + row * hidden + k);
    }
  }
}

}  // namespace bench
