// SPDX-License-Identifier: MIT
// The LSTM. Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000
//   i f g o = W_ih x + b_ih + W_hh h + b_hh
//   c' = sigmoid(f) c + sigmoid(i) tanh(g)
//   h' = sigmoid(o) tanh(c'), or W_hr of that: Sak et al. 2014
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/lstm.h"

namespace tapeloop::nn {

struct LstmOptions {
  std::int64_t projection = 0;  // P, the size of h; 0: H, without a projection
  double forget_bias = 0;       // added to the bias of the forget gate once, at construction
  void visit(OptionTable& table) {
    table("projection", projection), table("forget_bias", forget_bias);
  }
};

// The state is h and c.
struct LstmCell {
  using State = nn::State<2>;
  using Options = LstmOptions;
  GateWeights w;  // G = 4, in the order i f g o
  Var weight_hr;  // [P, H], undefined without a projection
  LstmCell() = default;
  LstmCell(const RecurrentOptions& options, Random& random, const Options& own = {}) {
    detail::check_projection("lstm", options, own.projection);
    w = GateWeights("lstm", 4, options, random, own.projection);
    if (own.forget_bias != 0) {
      detail::add_to_bias(w.bias_ih, options.hidden, options.hidden, own.forget_bias);
    }
    weight_hr = detail::projection_weight(options, own.projection, random);
  }
  std::array<std::int64_t, 2> state_sizes() const { return {w.outputs(), w.weight_hh.dim(0) / 4}; }
  Var input(const Var& x) const { return w.input(x); }
  Var input(const Tensor& symbols) const { return w.input(symbols); }
  Linear input_projection() const { return w.input_projection(); }
  Recurrence recurrence() const {
    Recurrence r;
    r.next(projected(r.stage(LstmGates{}, z(), of::state(1))));
    return r;
  }
  // The same with a mask on the candidate tanh(g): Noise::candidates.
  Recurrence recurrence(const of::Source& mask) const {
    Recurrence r;
    r.next(projected(r.stage(LstmMaskedGates{}, z(), mask, of::state(1))));
    return r;
  }
  // As recurrence(), in less time for a single step.
  State step(const Var& zx, const State& s) const {
    auto [h, c] = pointwise(LstmGates{}, columns<4>(linear(s.h(), w.weight_hh, zx)), s[1]);
    return State(weight_hr.defined() ? linear(h, weight_hr) : h, c);
  }
  void visit(Visitor& v) const {
    w.visit(v);
    v("weight_hr", weight_hr);
  }

 private:
  of::Source z() const { return of::input() + of::product(w.weight_hh); }
  PoolVector<of::Source> projected(PoolVector<of::Source> next) const {
    if (weight_hr.defined()) next[0] = of::product(weight_hr, next[0]);
    return next;
  }
};

using Lstm = Recurrent<LstmCell>;  // a stack of them

}  // namespace tapeloop::nn
