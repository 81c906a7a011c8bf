// SPDX-License-Identifier: MIT
// An LSTM cell written from the formula and the table of operations alone: one operation after the
// other, no functor, no separate input projection. It shows the cost of a cell that declares
// nothing about itself.
#pragma once

#include <cmath>

#include "tapeloop/nn/nn.h"

namespace bench {

struct OpByOpCell {
  using State = tapeloop::nn::State<2>;
  tapeloop::Var weight_ih, weight_hh, bias_ih, bias_hh;

  OpByOpCell(const tapeloop::nn::RecurrentOptions& o, tapeloop::Random& random) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(o.hidden));
    const auto drawn = [&](const tapeloop::Shape& shape) {
      return tapeloop::nn::uniform_parameter(shape, bound, random, o.dtype);
    };
    weight_ih = drawn({4 * o.hidden, o.input});
    weight_hh = drawn({4 * o.hidden, o.hidden});
    bias_ih = drawn({4 * o.hidden});
    bias_hh = drawn({4 * o.hidden});
  }
  std::array<std::int64_t, 2> state_sizes() const { return {weight_hh.dim(1), weight_hh.dim(1)}; }
  State step(const tapeloop::Var& x, const State& s) const {
    const auto z = chunk(linear(x, weight_ih, bias_ih) + linear(s.h(), weight_hh, bias_hh), 4, -1);
    const auto c = sigmoid(z[1]) * s[1] + sigmoid(z[0]) * tanh(z[2]);
    return State(sigmoid(z[3]) * tanh(c), c);
  }
  void visit(tapeloop::nn::Visitor& v) const {
    v("weight_ih", weight_ih);
    v("weight_hh", weight_hh);
    v("bias_ih", bias_ih);
    v("bias_hh", bias_hh);
  }
};

}  // namespace bench
