// SPDX-License-Identifier: MIT
// S4D: a diagonal state space of S complex units for each channel. Gu et al. 2022, arXiv:2206.11893
//   A = -exp(A_log_re) + i A_im, step exp(log_dt), zero-order hold:
//   s' = exp(dt A) s + (exp(dt A) - 1)/A x          y = 2 Re(sum of C s') + D x        I = H
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/diagonal.h"

namespace tapeloop::nn {

struct S4dOptions {
  std::int64_t state = 32;  // S, complex units of a channel
  // Initial steps are log-uniform.
  double dt_min = 0.001;  // the smallest
  double dt_max = 0.1;    // the largest
  void visit(OptionTable& table) {
    table("state", state), table("dt_min", dt_min), table("dt_max", dt_max);
  }
};

// The state is y, which no step reads, and s as re and im, each [N, S*H]: unit by unit, the
// channels of one unit are side by side. Training runs it as a scan. Single steps and a Stepper
// multiply by matrices of H x S*H, which are mostly zeros.
struct S4dCell {
  using State = nn::State<3>;
  using Options = S4dOptions;
  static constexpr bool equal_sizes = true;  // I = H
  Var a_log_re;                              // [H, S]; A starts as S4D-Lin: -1/2 + i pi n
  Var a_im;                                  // [H, S]
  Var log_dt;                                // [H]
  Var c_re;                                  // C [H, S], the real part
  Var c_im;                                  // C, the imaginary part
  Var d;                                     // D [H]
  S4dCell() = default;
  S4dCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 3> state_sizes() const { return {d.dim(0), a_im.numel(), a_im.numel()}; }
  Var input(const Var& x) const;  // the columns of (exp(dt A) - 1)/A x, re and im, and of D x
  Linear input_projection() const;
  Recurrence recurrence() const;
  // All steps as one scan.
  Unrolled<State> sequence(const Var& xs, const State& start, const UnrollOptions& options) const;
  void visit(Visitor& v) const {
    v("A_log_re", a_log_re), v("A_im", a_im), v("log_dt", log_dt);
    v("C_re", c_re), v("C_im", c_im), v("D", d);
  }

 private:
  struct Discrete {
    Var a, b;  // [2, S, H]: re and im
  };
  Discrete discrete() const;
  Var output_weights() const;  // [2, S, H]: 2 C, with the sign of the imaginary part
};

using S4d = Recurrent<S4dCell>;  // a stack of them

}  // namespace tapeloop::nn
