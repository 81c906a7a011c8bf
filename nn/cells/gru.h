// SPDX-License-Identifier: MIT
// The GRU. Cho et al. 2014, arXiv:1406.1078
//   r = sigmoid(W_r x + U_r h)      z = sigmoid(W_z x + U_z h)      each with its biases
//   n = tanh(W_n x + r (U_n h)), or tanh(W_n x + U_n (r h))
//   h' = (1 - z) n + z h
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/gru.h"

namespace tapeloop::nn {

// The reset gate acts after the recurrent product (PyTorch, cuDNN) or before it.
enum class GruReset { after, before };

struct GruOptions {
  GruReset reset = GruReset::after;  // where the reset gate acts
  void visit(OptionTable& table) { table("reset", reset, {"after", "before"}); }
};

// The state is h.
struct GruCell {
  using State = nn::State<1>;
  using Options = GruOptions;
  GateWeights w;                     // G = 3, in the order r z n
  GruReset reset = GruReset::after;  // where the reset gate acts
  GruCell() = default;
  GruCell(const RecurrentOptions& options, Random& random, const Options& own = {})
      : w("gru", 3, options, random), reset(own.reset) {}
  std::array<std::int64_t, 1> state_sizes() const { return {w.outputs()}; }
  Var input(const Var& x) const { return w.input(x, before()); }
  Var input(const Tensor& symbols) const { return w.input(symbols, before()); }
  Linear input_projection() const { return w.input_projection(before()); }
  Recurrence recurrence() const {
    const auto h = of::state(0);
    if (!before()) {
      return Recurrence(GruGates{}, of::input(), of::product(w.weight_hh, h, w.bias_hh), h);
    }
    const std::int64_t size = w.outputs();
    const auto weights = split(w.weight_hh, std::array{2 * size, size}, 0);
    Recurrence result;
    const auto rz = result.value(of::input(0, 2 * size) + of::product(weights[0]));
    const auto s = result.stage(GruResetState{}, rz.columns(0, size), h);
    const auto n = of::input(2 * size, size) + of::product(weights[1], s[0]);
    result.next(result.stage(GruUpdate{}, rz.columns(size, size), n, h));
    return result;
  }
  // The same with a mask on the candidate n: Noise::candidates. Undefined with reset before.
  Recurrence recurrence(const of::Source& mask) const {
    if (before()) return {};
    const auto h = of::state(0);
    return {GruMaskedGates{}, of::input(), of::product(w.weight_hh, h, w.bias_hh), mask, h};
  }
  // As recurrence(), in less time for a single step.
  State step(const Var& zx, const State& s) const {
    if (before()) return State(recurrence().step(zx, s.all()));
    const Var zh = linear(s.h(), w.weight_hh, w.bias_hh);
    return State(pointwise(GruGates{}, columns<3>(zx), columns<3>(zh), s.h()));
  }
  void visit(Visitor& v) const { w.visit(v); }

 private:
  bool before() const { return reset == GruReset::before; }
};

using Gru = Recurrent<GruCell>;  // a stack of them

}  // namespace tapeloop::nn
