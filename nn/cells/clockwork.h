// SPDX-License-Identifier: MIT
// Clockwork RNN: each group of units runs at its own period. Koutnik et al. 2014, arXiv:1402.3511
//   at time t group j runs if t mod T_j = 0:  h_j' = tanh(W_ih x + sum over k >= j of W_jk h_k + b)
//   else h_j' = h_j
// Periods rise, so a group reads itself and slower groups.
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/gated.h"

namespace tapeloop::nn {

struct ClockworkOptions {
  std::vector<std::int64_t> periods = {1, 2, 4, 8};  // T_j of each group; groups have equal sizes
  void visit(OptionTable& table) { table("periods", periods); }
};

// The state is h, and the number of steps that each unit still waits. All units run at the first
// step.
struct ClockworkCell {
  using State = nn::State<2>;
  using Options = ClockworkOptions;
  static constexpr std::size_t zoned_parts = 1;  // zoneout leaves the waits alone
  GateWeights w;  // G = 1, one bias; blocks of weight_hh below the diagonal are not used
  detail::FixedNumbers reads;    // [H, H]: 1 where weight_hh is used, else 0
  detail::FixedNumbers periods;  // [H]
  ClockworkCell() = default;
  ClockworkCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 2> state_sizes() const { return {w.outputs(), w.outputs()}; }
  Var input(const Var& x) const { return w.input(x); }
  Var input(const Tensor& symbols) const { return w.input(symbols); }
  Linear input_projection() const { return w.input_projection(); }
  Recurrence recurrence() const {
    const auto z = of::input() + of::product(w.weight_hh * reads.like(w.weight_hh));
    const auto period = of::unit(periods.like(w.weight_hh));
    return {ClockworkStep{}, z, period, of::state(0), of::state(1)};
  }
  void visit(Visitor& v) const { w.visit(v); }
};

using Clockwork = Recurrent<ClockworkCell>;  // a stack of them

}  // namespace tapeloop::nn
