// SPDX-License-Identifier: MIT
// Legendre memory unit: a linear memory m that holds the last `theta` steps of one signal u as
// coefficients of Legendre polynomials. Voelker et al. 2019
//   u = e_x x + e_h h + e_m m
//   m' = A m + B u                                 A and B are fixed
//   h' = tanh(W_ih x + W_hh h + W_mh m')
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/rnn.h"

namespace tapeloop::nn {

// How A and B follow from the differential equation: exactly for steps of constant u, or by Euler.
enum class Discretisation { zero_order_hold, euler };

struct LmuOptions {
  std::int64_t order = 8;  // M, the size of m
  double theta = 32;       // the length of the window, in steps
  Discretisation discretisation = Discretisation::zero_order_hold;  // of A and B
  void visit(OptionTable& table) {
    table("order", order), table("theta", theta);
    table("discretisation", discretisation, {"zero_order_hold", "euler"});
  }
};

// The state is h and m.
struct LmuCell {
  using State = nn::State<2>;
  using Options = LmuOptions;
  Var weight_ih;           // [H, I]
  Var weight_hh;           // [H, H]
  Var weight_mh;           // [H, M]
  Var e_x;                 // [I]
  Var e_h;                 // [H]
  Var e_m;                 // [M]
  detail::FixedNumbers a;  // A [M, M]
  detail::FixedNumbers b;  // B [M, 1]
  LmuCell() = default;
  LmuCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 2> state_sizes() const { return {weight_hh.dim(0), e_m.dim(0)}; }
  Var input(const Var& x) const { return input_projection()(x); }
  Linear input_projection() const {  // the H columns of W_ih x, and e_x x
    Linear result;
    result.weight = concat({weight_ih, insert_axis(e_x, 0)}, 0);
    return result;
  }
  Recurrence recurrence() const {
    const std::int64_t size = weight_hh.dim(0);
    const auto m = of::state(1);
    Recurrence r;
    const auto u = r.value(of::input(size, 1) + of::product(insert_axis(e_h, 0)) +
                           of::product(insert_axis(e_m, 0), m));
    const auto next = r.value(of::product(a.like(e_m), m) + of::product(b.like(e_m), u));
    const auto h = r.stage(
        ElmanTanh{}, of::input(0, size) + of::product(weight_hh) + of::product(weight_mh, next))[0];
    r.next({h, next});
    return r;
  }
  void visit(Visitor& v) const {
    v("weight_ih", weight_ih), v("weight_hh", weight_hh), v("weight_mh", weight_mh);
    v("e_x", e_x), v("e_h", e_h), v("e_m", e_m);
  }
};

using Lmu = Recurrent<LmuCell>;  // a stack of them

}  // namespace tapeloop::nn
