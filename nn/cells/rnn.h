// SPDX-License-Identifier: MIT
// The simple recurrent cell of Elman 1990.
//   h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/rnn.h"

namespace tapeloop::nn {

// The function of an RnnCell.
enum class Nonlinearity { tanh, relu };

struct RnnOptions {
  Nonlinearity nonlinearity = Nonlinearity::tanh;  // of h'
  void visit(OptionTable& table) { table("nonlinearity", nonlinearity, {"tanh", "relu"}); }
};

// The state is h.
struct RnnCell {
  using State = nn::State<1>;
  using Options = RnnOptions;
  GateWeights w;                                   // G = 1
  Nonlinearity nonlinearity = Nonlinearity::tanh;  // of h'
  RnnCell() = default;
  RnnCell(const RecurrentOptions& options, Random& random, const Options& own = {})
      : w("rnn", 1, options, random), nonlinearity(own.nonlinearity) {}
  std::array<std::int64_t, 1> state_sizes() const { return {w.outputs()}; }
  Var input(const Var& x) const { return w.input(x); }
  Var input(const Tensor& symbols) const { return w.input(symbols); }
  Linear input_projection() const { return w.input_projection(); }
  Recurrence recurrence() const {
    const auto z = of::input() + of::product(w.weight_hh);
    return relu() ? Recurrence(ElmanRelu{}, z) : Recurrence(ElmanTanh{}, z);
  }
  // As recurrence(), in less time for a single step.
  State step(const Var& zx, const State& s) const {
    const Var z = linear(s.h(), w.weight_hh, zx);
    return State(relu() ? pointwise(ElmanRelu{}, z) : pointwise(ElmanTanh{}, z));
  }
  void visit(Visitor& v) const { w.visit(v); }

 private:
  bool relu() const { return nonlinearity == Nonlinearity::relu; }
};

using Rnn = Recurrent<RnnCell>;  // a stack of them

}  // namespace tapeloop::nn
