// SPDX-License-Identifier: MIT
// UGRNN, the update gate RNN. Collins, Sohl-Dickstein & Sussillo 2017, arXiv:1611.09913
//   g = sigmoid(W_g x + U_g h + b_g)      n = tanh(W_n x + U_n h + b_n)
//   h' = g h + (1 - g) n
// The formula is GruUpdate of gates/gru.h.
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/gru.h"

namespace tapeloop::nn {

struct UgrnnOptions {
  double update_bias = 1;  // added to the bias of g once, at construction
  void visit(OptionTable& table) { table("update_bias", update_bias); }
};

// The state is h.
struct UgrnnCell {
  using State = nn::State<1>;
  using Options = UgrnnOptions;
  GateWeights w;  // G = 2, in the order g n; one bias
  UgrnnCell() = default;
  UgrnnCell(const RecurrentOptions& options, Random& random, const Options& own = {})
      : w(GateWeights("ugrnn", 2, options, random).with_one_bias()) {
    detail::add_to_bias(w.bias_ih, 0, options.hidden, own.update_bias);
  }
  std::array<std::int64_t, 1> state_sizes() const { return {w.outputs()}; }
  Var input(const Var& x) const { return w.input(x); }
  Var input(const Tensor& symbols) const { return w.input(symbols); }
  Linear input_projection() const { return w.input_projection(); }
  Recurrence recurrence() const {
    return Recurrence(GruUpdate{}, of::input() + of::product(w.weight_hh), of::state(0));
  }
  void visit(Visitor& v) const { w.visit(v); }
};

using Ugrnn = Recurrent<UgrnnCell>;  // a stack of them

}  // namespace tapeloop::nn
