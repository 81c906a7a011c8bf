// SPDX-License-Identifier: MIT
// The LSTM with layer normalisation. Ba et al. 2016, arXiv:1607.06450, appendix
//   i f g o = LN(W_ih x) + LN(W_hh h), or LN(W_ih x + W_hh h) with each gate by itself
//   c' = sigmoid(f) c + sigmoid(i) tanh(g)
//   h' = sigmoid(o) tanh(LN(c'))
// The formulas are LstmState and LstmOutput of gates/peephole_lstm.h.
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/peephole_lstm.h"

namespace tapeloop::nn {

// The columns that are normalised together. whole: all 4H, of W_ih x and of W_hh h (Ba et al.).
// gatewise: the H of each gate, of W_ih x + W_hh h (TensorFlow's LayerNormBasicLSTMCell).
enum class GateNorm { whole, gatewise };
// The c of the next step: c' itself (Ba et al.), or LN(c').
enum class Carry { raw, normalised };

struct LayerNormLstmOptions {
  GateNorm norm = GateNorm::whole;  // of the gates
  Carry carry = Carry::raw;         // from step to step
  double forget_bias = 0;           // added to the bias of the forget gate once, at construction
  double epsilon = 1e-5;            // added to the variances
  void visit(OptionTable& table) {
    table("norm", norm, {"whole", "gatewise"}), table("carry", carry, {"raw", "normalised"});
    table("forget_bias", forget_bias), table("epsilon", epsilon);
  }
};

// The state is h and c. Only the norms have biases.
struct LayerNormLstmCell {
  using State = nn::State<2>;
  using Options = LayerNormLstmOptions;
  GateWeights w;    // G = 4, in the order i f g o, without biases
  LayerNorm ln_ih;  // [4H]; gatewise: none
  LayerNorm ln_hh;  // [4H]
  LayerNorm ln_c;   // [H]
  Options own;
  LayerNormLstmCell() = default;
  LayerNormLstmCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 2> state_sizes() const { return {w.outputs(), w.outputs()}; }
  Var input(const Var& x) const { return w.input(x); }
  Var input(const Tensor& symbols) const { return w.input(symbols); }
  Linear input_projection() const { return w.input_projection(); }
  Recurrence recurrence() const {
    const std::int64_t size = w.outputs();
    const auto norm = [&](const LayerNorm& n, const of::Source& x, int groups = 1) {
      return of::layer_norm(x, n.weight, n.bias, groups, own.epsilon);
    };
    const auto from_h = of::product(w.weight_hh);
    Recurrence r;
    const auto z = own.norm == GateNorm::gatewise
                       ? r.value(norm(ln_hh, of::input() + from_h, 4))
                       : r.value(r.value(norm(ln_ih, of::input())) + norm(ln_hh, from_h));
    const auto c = r.stage(LstmState{}, z.columns(0, 3 * size), of::state(1))[0];
    const auto normalised = r.value(norm(ln_c, c));
    const auto h = r.stage(LstmOutput{}, z.columns(3 * size, size), normalised)[0];
    r.next({h, own.carry == Carry::raw ? c : normalised});
    return r;
  }
  void visit(Visitor& v) const {
    w.visit(v);
    v("ln_ih", ln_ih), v("ln_hh", ln_hh), v("ln_c", ln_c);
  }
};

using LayerNormLstm = Recurrent<LayerNormLstmCell>;  // a stack of them

}  // namespace tapeloop::nn
