// SPDX-License-Identifier: MIT
// MGU, the GRU with one gate. Zhou et al. 2016, arXiv:1603.09420
//   f = sigmoid(W_f x + U_f h + b_f)      n = tanh(W_n x + U_n (f h) + b_n)
//   h' = (1 - f) h + f n
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/gated.h"
#include "tapeloop/nn/cells/gates/gru.h"

namespace tapeloop::nn {

// The state is h.
struct MguCell {
  using State = nn::State<1>;
  GateWeights w;  // G = 2, in the order f n; one bias
  MguCell() = default;
  MguCell(const RecurrentOptions& options, Random& random)
      : w(GateWeights("mgu", 2, options, random).with_one_bias()) {}
  std::array<std::int64_t, 1> state_sizes() const { return {w.outputs()}; }
  Var input(const Var& x) const { return w.input(x); }
  Var input(const Tensor& symbols) const { return w.input(symbols); }
  Linear input_projection() const { return w.input_projection(); }
  Recurrence recurrence() const {
    const std::int64_t size = w.outputs();
    const auto weights = split(w.weight_hh, std::array{size, size}, 0);
    const auto h = of::state(0);
    Recurrence r;
    const auto f = r.value(of::input(0, size) + of::product(weights[0]));
    const auto fh = r.stage(GruResetState{}, f, h)[0];
    r.next(r.stage(GatedStep{}, f, of::input(size, size) + of::product(weights[1], fh), h));
    return r;
  }
  void visit(Visitor& v) const { w.visit(v); }
};

using Mgu = Recurrent<MguCell>;  // a stack of them

}  // namespace tapeloop::nn
