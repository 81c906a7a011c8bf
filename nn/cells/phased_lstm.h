// SPDX-License-Identifier: MIT
// Phased LSTM, for events at irregular times: a unit opens for a part of its period. Neil et al.
// 2016, arXiv:1610.09513
//   phase = ((t - shift) mod tau) / tau
//   k = 2 phase / r below r / 2, 2 - 2 phase / r below r, else leak phase
//   h' = k h^ + (1 - k) h      c' = k c^ + (1 - k) c      h^, c^: of an LSTM with peepholes
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/gated.h"
#include "tapeloop/nn/cells/gates/peephole_lstm.h"
#include "tapeloop/nn/recurrent/noise_gates.h"

namespace tapeloop::nn {

struct PhasedLstmOptions {
  bool peephole = true;  // diagonal
  double leak = 0.001;   // while a tape records; else 0
  void visit(OptionTable& table) { table("peephole", peephole), table("leak", leak); }
};

// The last column of x is the time; RecurrentOptions::input counts this column, too. Only the first
// layer of a stack can have this cell. It refuses noise.inputs and connections, which would act on
// the time. The state is h and c.
struct PhasedLstmCell {
  using State = nn::State<2>;
  using Options = PhasedLstmOptions;
  static constexpr bool reads_time = true;  // from the last column
  GateWeights w;                            // G = 4, in the order i f g o; weight_ih [4H, I - 1]
  Var weight_ch;                            // [3H] in the order i f o, undefined without peepholes
  Var tau;                                  // [H], the period
  Var shift;                                // [H], where a period begins
  Var r_on;                                 // [H], the share of a period in which the unit is open
  double leak = 0;                          // as in the options
  PhasedLstmCell() = default;
  PhasedLstmCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 2> state_sizes() const { return {w.outputs(), w.outputs()}; }
  Var input(const Var& x) const;  // the columns i f g o, and the time for each unit
  Linear input_projection() const;
  Recurrence recurrence() const {
    const std::int64_t size = w.outputs();
    const auto h = of::state(0), c = of::state(1);
    const double closed = Tape::current() != nullptr ? leak : 0;
    Recurrence r;
    const auto z = r.value(of::input(0, 4 * size) + of::product(w.weight_hh));
    const auto k = r.stage(PhaseGate{closed}, of::input(4 * size, size), of::unit(tau),
                           of::unit(shift), of::unit(r_on))[0];
    const auto gates = z.columns(0, 3 * size), o = z.columns(3 * size, size);
    if (!weight_ch.defined()) {
      const auto next = r.stage(LstmState{}, gates, c)[0];
      const auto out = r.stage(LstmOutput{}, o, next)[0];
      r.next({r.stage(Mix{}, k, out, h)[0], r.stage(Mix{}, k, next, c)[0]});
      return r;
    }
    const auto p = of::unit(weight_ch);
    const auto next = r.stage(TwoPeepholes<LstmState>{}, gates, p.columns(0, 2 * size), c)[0];
    const auto out = r.stage(OutputPeephole<LstmOutput>{}, o, p.columns(2 * size, size), next)[0];
    r.next({r.stage(Mix{}, k, out, h)[0], r.stage(Mix{}, k, next, c)[0]});
    return r;
  }
  void visit(Visitor& v) const {
    w.visit(v);
    v("weight_ch", weight_ch), v("tau", tau), v("shift", shift), v("r_on", r_on);
  }
};

using PhasedLstm = Recurrent<PhasedLstmCell>;  // a stack of them

}  // namespace tapeloop::nn
