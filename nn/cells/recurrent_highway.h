// SPDX-License-Identifier: MIT
// Recurrent highway network: several layers within a step. Zilly et al. 2016, arXiv:1607.03474
//   s = h, then in each layer
//   n t = W_hh s + b, and in the first layer + W_ih x
//   s = sigmoid(t) tanh(n) + (1 - sigmoid(t)) s, or a gate of its own for 1 - sigmoid(t)
//   h' = s
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/gated.h"

namespace tapeloop::nn {

struct RecurrentHighwayOptions {
  int depth = 1;               // layers within a step
  bool coupled = true;         // the carry gate is 1 - sigmoid(t)
  double transform_bias = -2;  // added to the biases of t once, at construction
  void visit(OptionTable& table) {
    table("depth", depth), table("coupled", coupled);
    table("transform_bias", transform_bias);
  }
};

// The state is h.
struct RecurrentHighwayCell {
  using State = nn::State<1>;
  using Options = RecurrentHighwayOptions;
  Var weight_ih;               // [G*H, I], G = 2 in the order n t, or 3: n t c
  std::vector<Var> weight_hh;  // [G*H, H] for each layer
  std::vector<Var> bias;       // [G*H]
  bool coupled = true;         // as in the options
  RecurrentHighwayCell() = default;
  RecurrentHighwayCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 1> state_sizes() const { return {weight_hh[0].dim(1)}; }
  Var input(const Var& x) const { return input_projection()(x); }
  Linear input_projection() const {
    Linear result;
    result.weight = weight_ih;
    result.bias = bias[0];
    return result;
  }
  Recurrence recurrence() const {
    const std::int64_t size = weight_hh[0].dim(1);
    Recurrence r;
    of::Source s = of::state(0);
    for (std::size_t l = 0; l < weight_hh.size(); ++l) {
      const auto z = r.value(l == 0 ? of::input() + of::product(weight_hh[0])
                                    : of::product(weight_hh[l], s, bias[l]));
      const auto n = z.columns(0, size), t = z.columns(size, size);
      s = coupled ? r.stage(GatedStep{}, t, n, s)[0]
                  : r.stage(CarryStep{}, n, t, z.columns(2 * size, size), s)[0];
    }
    r.next({s});
    return r;
  }
  void visit(Visitor& v) const;  // weight_ih, weight_hh_d0, bias_d0, weight_hh_d1, ...
};

using RecurrentHighway = Recurrent<RecurrentHighwayCell>;  // a stack of them

}  // namespace tapeloop::nn
