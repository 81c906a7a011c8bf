// SPDX-License-Identifier: MIT
// LRU, the linear recurrent unit: each complex unit decays and turns by a number of its own.
// Orvieto et al. 2023, arXiv:2303.06349
//   lambda = exp(-exp(nu) + i exp(theta))
//   s' = lambda s + exp(gamma) (B x)
//   y = Re(C s') + D x                              I = H
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/diagonal.h"

namespace tapeloop::nn {

struct LruOptions {
  std::int64_t state = 0;  // S, the number of complex units; 0: H
  // Initial values: lambda is uniform on a ring.
  double r_min = 0.9;                    // its inner radius
  double r_max = 0.999;                  // its outer radius
  double max_phase = 6.283185307179586;  // the largest angle
  void visit(OptionTable& table) {
    table("state", state), table("r_min", r_min), table("r_max", r_max);
    table("max_phase", max_phase);
  }
};

// The state is y, which no step reads, and s as re and im, each [N, S].
struct LruCell {
  using State = nn::State<3>;
  using Options = LruOptions;
  static constexpr bool equal_sizes = true;  // I = H
  Var nu_log;                                // [S]: |lambda| = exp(-exp(nu_log))
  Var theta_log;                             // [S]: the angle is exp(theta_log)
  Var gamma_log;                             // [S]: starts as log sqrt(1 - |lambda|^2)
  Var b_re;                                  // B [S, I], the real part
  Var b_im;                                  // B, the imaginary part
  Var c_re;                                  // C [H, S], the real part
  Var c_im;                                  // C, the imaginary part
  Var d;                                     // D [H]
  LruCell() = default;
  LruCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 3> state_sizes() const {
    return {d.dim(0), nu_log.dim(0), nu_log.dim(0)};
  }
  Var input(const Var& x) const;  // the columns of exp(gamma) B x, re and im, and of D x
  Linear input_projection() const;
  Recurrence recurrence() const;
  // All steps: a product, a scan, a product.
  Unrolled<State> sequence(const Var& xs, const State& start, const UnrollOptions& options) const;
  void visit(Visitor& v) const {
    v("nu_log", nu_log), v("theta_log", theta_log), v("gamma_log", gamma_log);
    v("B_re", b_re), v("B_im", b_im), v("C_re", c_re), v("C_im", c_im), v("D", d);
  }

 private:
  Var lambda() const;  // [2S], re and im
  Var b() const;       // exp(gamma) B [2S, I], re and im
};

using Lru = Recurrent<LruCell>;  // a stack of them

}  // namespace tapeloop::nn
