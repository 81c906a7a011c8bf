// SPDX-License-Identifier: MIT
// The LSTM with recurrent batch normalisation. Cooijmans et al. 2016, arXiv:1603.09025, eq. 6 to 8
//   i f g o = BN(W_ih x) + BN(W_hh h) + b
//   c' = sigmoid(f) c + sigmoid(i) tanh(g)
//   h' = sigmoid(o) tanh(BN(c'))
// Each time step has statistics of its own, counted from the first step of the sequence.
// The formulas are LstmState and LstmOutput of gates/peephole_lstm.h.
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/peephole_lstm.h"
#include "tapeloop/nn/layers/batch_norm.h"

namespace tapeloop::nn {

struct BatchNormLstmOptions {
  // Time steps with running statistics of their own. Later steps use those of the last one.
  std::int64_t steps = 100;
  double forget_bias = 0;  // added to the bias of the forget gate once, at construction
  double epsilon = 1e-5;   // added to the variances
  double momentum = 0.1;   // of the running statistics
  bool frozen = false;     // uses the running statistics also while a tape records
  void visit(OptionTable& table) {
    table("steps", steps), table("forget_bias", forget_bias);
    table("epsilon", epsilon), table("momentum", momentum), table("frozen", frozen);
  }
};

namespace detail {
// Batch normalisation of one of the products, or of c: for each time step apart.
struct StepNorm {
  Var weight;                     // [C], initially 0.1: with 1 the gates saturate
  Var bias;                       // [C], initially 0; undefined if there is none
  Var running_mean, running_var;  // [steps, C], initially 0 and 1
  void visit(Visitor& v) const {
    v("weight", weight), v("bias", bias);
    v.buffer("running_mean", running_mean), v.buffer("running_var", running_var);
  }
};
}  // namespace detail

// The state is h, c, and the number of steps so far [N, 1], which is the same in all rows. While a
// tape records, the statistics are those of the batch, which needs two rows or more. Without a tape
// they are the running ones. Sequences have equal lengths. Runs by operations. A state that is
// given is read once: on a GPU this waits.
struct BatchNormLstmCell {
  using State = nn::State<3>;
  using Options = BatchNormLstmOptions;
  static constexpr std::size_t zoned_parts = 2;  // h and c
  static constexpr bool mixes_rows = true;       // a row's result depends on the other rows
  GateWeights w;                                 // G = 4, in the order i f g o; one bias
  detail::StepNorm bn_ih, bn_hh;                 // [4H], without biases
  detail::StepNorm bn_c;                         // [H]
  Options own;
  BatchNormLstmCell() = default;
  BatchNormLstmCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 3> state_sizes() const { return {w.outputs(), w.outputs(), 1}; }
  Var input(const Var& x) const;  // x W_ih^T
  State step(const Var& zx, const State& state) const;
  // All steps; the statistics of W_ih x are taken of all of them at once.
  Unrolled<State> sequence(const Var& xs, const State& start, const UnrollOptions& options) const;
  void visit(Visitor& v) const {
    w.visit(v);
    v("bn_ih", bn_ih), v("bn_hh", bn_hh), v("bn_c", bn_c);
  }

 private:
  Unrolled<State> run(const Var& zx, const State& start, bool reverse) const;
};

using BatchNormLstm = Recurrent<BatchNormLstmCell>;  // a stack of them

}  // namespace tapeloop::nn
