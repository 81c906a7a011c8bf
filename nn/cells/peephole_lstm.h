// SPDX-License-Identifier: MIT
// The LSTM with peepholes (Gers & Schmidhuber 2000), with coupled gates, and the other variants of
// Greff et al. 2015, "LSTM: A Search Space Odyssey", arXiv:1503.04069. The formulas of the variants
// are in gates/peephole_lstm.h; here is the base:
//   i f g o = W_ih x + b_ih + W_hh h + b_hh
//   c' = sigmoid(f + p_f c) c + sigmoid(i + p_i c) tanh(g)
//   h' = sigmoid(o + p_o c') tanh(c'), or W_hr of that
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/peephole_lstm.h"

namespace tapeloop::nn {

// Each is the base with one change. `coupled`: f = 1 - i.
enum class LstmVariant {
  base,
  no_input_gate,
  no_forget_gate,
  no_output_gate,
  no_input_activation,
  no_output_activation,
  coupled
};
// The units of the cell state that a gate sees: none, its own unit (p is a vector), or all units (p
// is a matrix).
enum class Peephole { none, diagonal, full };

struct PeepholeLstmOptions {
  LstmVariant variant = LstmVariant::base;  // the change
  Peephole peephole = Peephole::diagonal;   // the units of c that a gate sees
  std::int64_t projection = 0;              // P, the size of h; 0: H, without a projection
  void visit(OptionTable& table) {
    table("variant", variant,
          {"base", "no_input_gate", "no_forget_gate", "no_output_gate", "no_input_activation",
           "no_output_activation", "coupled"});
    table("peephole", peephole, {"none", "diagonal", "full"}), table("projection", projection);
  }
};

// The state is h and c.
struct PeepholeLstmCell {
  using State = nn::State<2>;
  using Options = PeepholeLstmOptions;
  GateWeights w;  // in the order i f g o, without the gate that the variant lacks
  Var weight_ch;  // p in the order i f o: [3H], or [3H, H]; without the missing gate
  Var weight_hr;  // [P, H], undefined without a projection
  Options own;
  PeepholeLstmCell() = default;
  PeepholeLstmCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 2> state_sizes() const { return {w.outputs(), size()}; }
  Var input(const Var& x) const { return w.input(x); }
  Var input(const Tensor& symbols) const { return w.input(symbols); }
  Linear input_projection() const { return w.input_projection(); }
  Recurrence recurrence() const;
  void visit(Visitor& v) const {
    w.visit(v);
    v("weight_ch", weight_ch);
    v("weight_hr", weight_hr);
  }

 private:
  std::int64_t size() const { return w.weight_hh.dim(0) / gates(own.variant); }
  static int gates(LstmVariant variant);  // pre-activations
};

using PeepholeLstm = Recurrent<PeepholeLstmCell>;  // a stack of them

struct FullGateLstmOptions {
  Peephole peephole = Peephole::diagonal;  // the units of c that a gate sees
  std::int64_t projection = 0;             // P, the size of h; 0: H, without a projection
  void visit(OptionTable& table) {
    table("peephole", peephole, {"none", "diagonal", "full"}), table("projection", projection);
  }
};

// FGR, the LSTM with full gate recurrence: the gates also see all gates of the step before. The
// state is h, c, and the gates i, f, o.
//   i f o += W_gg [sigmoid(i); sigmoid(f); sigmoid(o)] of the step before
struct FullGateLstmCell {
  using State = nn::State<5>;
  using Options = FullGateLstmOptions;
  static constexpr std::size_t zoned_parts = 2;  // zoneout leaves the gates alone
  GateWeights w;                                 // G = 4, in the order i f g o
  Var weight_gg;                                 // [3H, 3H], in the order i f o
  Var weight_ch;                                 // as in PeepholeLstmCell
  Var weight_hr;                                 // as in PeepholeLstmCell
  FullGateLstmCell() = default;
  FullGateLstmCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 5> state_sizes() const {
    return {w.outputs(), size(), size(), size(), size()};
  }
  Var input(const Var& x) const { return w.input(x); }
  Linear input_projection() const { return w.input_projection(); }
  Recurrence recurrence() const;
  void visit(Visitor& v) const {
    w.visit(v);
    v("weight_gg", weight_gg);
    v("weight_ch", weight_ch);
    v("weight_hr", weight_hr);
  }

 private:
  std::int64_t size() const { return w.weight_hh.dim(0) / 4; }
};

using FullGateLstm = Recurrent<FullGateLstmCell>;  // a stack of them

}  // namespace tapeloop::nn
