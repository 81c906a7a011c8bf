// SPDX-License-Identifier: MIT
// The LSTM as a user would write it around the formula of my_lstm_gates.h, with public functions of
// the library alone.
// bench/train_bench.cpp compares it with nn::Lstm: nn::Lstm has no private shortcut.
#pragma once

#include "examples/custom_cell/my_lstm_gates.h"
#include "tapeloop/nn/nn.h"

namespace my {

struct LstmCell {
  using State = tapeloop::nn::State<2>;
  tapeloop::Var weight_ih, weight_hh, bias_ih, bias_hh;

  LstmCell(const tapeloop::nn::RecurrentOptions& o, tapeloop::Random& random) {
    double bound = 1.0 / std::sqrt(static_cast<double>(o.hidden));
    auto drawn = [&](const tapeloop::Shape& shape) {
      return tapeloop::nn::uniform_parameter(shape, bound, random, o.dtype);
    };
    weight_ih = drawn({4 * o.hidden, o.input});
    weight_hh = drawn({4 * o.hidden, o.hidden});
    bias_ih = drawn({4 * o.hidden});
    bias_hh = drawn({4 * o.hidden});
  }
  std::array<std::int64_t, 2> state_sizes() const { return {weight_hh.dim(1), weight_hh.dim(1)}; }
  tapeloop::Var input(const tapeloop::Var& x) const { return input_projection()(x); }
  tapeloop::nn::Linear input_projection() const {
    tapeloop::nn::Linear projection;
    projection.weight = weight_ih;
    projection.bias = bias_ih + bias_hh;
    return projection;
  }
  tapeloop::Recurrence recurrence() const {  // h', c' = Gates(zx + W_hh h, c)
    using namespace tapeloop;
    return {Gates{}, of::input() + of::product(weight_hh), of::state(1)};
  }
  void visit(tapeloop::nn::Visitor& v) const {
    v("weight_ih", weight_ih);
    v("weight_hh", weight_hh);
    v("bias_ih", bias_ih);
    v("bias_hh", bias_hh);
  }
};

}  // namespace my
