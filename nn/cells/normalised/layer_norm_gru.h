// SPDX-License-Identifier: MIT
// The GRU with layer normalisation. Ba et al. 2016, arXiv:1607.06450
//   a = LN(W_ih x), b = LN(W_hh h)      r and z are normalised together, n by itself
//   r = sigmoid(a_r + b_r)      z = sigmoid(a_z + b_z)      n = tanh(a_n + r b_n)
//   h' = (1 - z) n + z h
// The formula is GruGates of gates/gru.h.
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/gru.h"

namespace tapeloop::nn {

struct LayerNormGruOptions {
  double epsilon = 1e-5;  // added to the variances
  void visit(OptionTable& table) { table("epsilon", epsilon); }
};

// The state is h. Only the norms have biases.
struct LayerNormGruCell {
  using State = nn::State<1>;
  using Options = LayerNormGruOptions;
  GateWeights w;          // G = 3, in the order r z n, without biases
  LayerNorm ln_ih;        // [3H]
  LayerNorm ln_hh;        // [3H]
  double epsilon = 1e-5;  // added to the variances
  LayerNormGruCell() = default;
  LayerNormGruCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 1> state_sizes() const { return {w.outputs()}; }
  Var input(const Var& x) const { return w.input(x); }
  Var input(const Tensor& symbols) const { return w.input(symbols); }
  Linear input_projection() const { return w.input_projection(); }
  Recurrence recurrence() const {
    const std::int64_t size = w.outputs();
    Recurrence r;
    // rz and n, each normalised by itself
    const auto norms = [&](const LayerNorm& norm, const of::Source& x) {
      const std::array sizes{2 * size, size};
      const auto scale = split(norm.weight, sizes, 0);
      const auto bias = norm.bias.defined() ? split(norm.bias, sizes, 0) : PoolVector<Var>(2);
      return std::array{
          r.value(of::layer_norm(x.columns(0, 2 * size), scale[0], bias[0], 1, epsilon)),
          r.value(of::layer_norm(x.columns(2 * size, size), scale[1], bias[1], 1, epsilon))};
    };
    const auto a = norms(ln_ih, of::input());
    const auto b = norms(ln_hh, r.value(of::product(w.weight_hh)));
    r.next(r.stage(GruGates{}, a[0], a[1], b[0], b[1], of::state(0)));
    return r;
  }
  void visit(Visitor& v) const {
    w.visit(v);
    v("ln_ih", ln_ih), v("ln_hh", ln_hh);
  }
};

using LayerNormGru = Recurrent<LayerNormGruCell>;  // a stack of them

}  // namespace tapeloop::nn
