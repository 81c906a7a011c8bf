// SPDX-License-Identifier: MIT
// sLSTM: an LSTM with an exponential input gate and a normaliser n, in heads that do not see each
// other's h. Beck et al. 2024, "xLSTM", arXiv:2405.04517
//   z = W_ih x + R h + b, R block-diagonal     in the order i f g o
//   m' = max(log f + m, i)                     log f = log sigmoid(f), or f itself
//   c' = e^(log f + m - m') c + e^(i - m') tanh(g)
//   n' = e^(log f + m - m') n + e^(i - m')
//   h' = sigmoid(o) c' / n'
// c, n, m and c e^-k, n e^-k, m + k are the same state. n = 0 means no state: m' = i at the next
// step.
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/slstm.h"

namespace tapeloop::nn {

// What the forget gate is: sigmoid(f), or e^f.
enum class ForgetGate { sigmoid, exponential };

struct SlstmOptions {
  int heads = 1;                            // they divide H
  ForgetGate forget = ForgetGate::sigmoid;  // the forget gate
  double forget_bias = 0;                   // added to the biases of f once, at construction
  void visit(OptionTable& table) {
    table("heads", heads), table("forget", forget, {"sigmoid", "exponential"});
    table("forget_bias", forget_bias);
  }
};

// The state is h, c, n and m.
struct SlstmCell {
  using State = nn::State<4>;
  using Options = SlstmOptions;
  GateWeights w;  // G = 4, in the order i f g o; weight_hh [4H, H / heads], one bias
  int heads = 1;  // as in the options
  ForgetGate forget = ForgetGate::sigmoid;  // as in the options
  SlstmCell() = default;
  SlstmCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 4> state_sizes() const {
    const std::int64_t size = w.weight_ih.dim(0) / 4;
    return {size, size, size, size};
  }
  Var input(const Var& x) const { return w.input(x); }
  Var input(const Tensor& symbols) const { return w.input(symbols); }
  Linear input_projection() const { return w.input_projection(); }
  Recurrence recurrence() const {
    const auto z = of::input() + of::product(w.weight_hh, of::state(0), Var(), heads);
    const auto c = of::state(1), n = of::state(2), m = of::state(3);
    if (forget == ForgetGate::sigmoid) return {SlstmGates{}, z, c, n, m};
    return {SlstmExponentialGates{}, z, c, n, m};
  }
  void visit(Visitor& v) const { w.visit(v); }
};

using Slstm = Recurrent<SlstmCell>;  // a stack of them

}  // namespace tapeloop::nn
