// SPDX-License-Identifier: MIT
// FORMULA PAGE: cells whose new state lies between the old state and a candidate. Arguments are
// elements of [N, H].
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// MGU, MUT2, MUT3, recurrent highway network
//   h' = (1 - sigmoid(g)) h + sigmoid(g) tanh(n)
struct GatedStep {
  static constexpr const char* name = "gated_step";
  static constexpr const char* arguments = "g n h";
  TL_HD auto operator()(auto g, auto n, auto h) const { return h + sigmoid(g) * (tanh(n) - h); }
};
// MUT1: the same with n = u + tanh(x)
struct Mut1Step {
  static constexpr const char* name = "mut1_step";
  static constexpr const char* arguments = "z u x h";
  TL_HD auto operator()(auto z, auto u, auto x, auto h) const {
    return h + sigmoid(z) * (tanh(u + tanh(x)) - h);
  }
};
// Recurrent highway network with a carry gate of its own
//   s' = sigmoid(c) s + sigmoid(t) tanh(n)
struct CarryStep {
  static constexpr const char* name = "carry_step";
  static constexpr const char* arguments = "n t c s";
  TL_HD auto operator()(auto n, auto t, auto c, auto s) const {
    return sigmoid(c) * s + sigmoid(t) * tanh(n);
  }
};
// Clockwork RNN: a unit runs when its wait is over, and then waits for `period` steps.
//   h' = tanh(z) if wait = 0, else h
struct ClockworkStep {
  static constexpr const char* name = "clockwork_step";
  static constexpr const char* arguments = "z period h wait";
  static constexpr const char* results = "h wait";
  TL_HD auto operator()(auto z, auto period, auto h, auto wait) const {
    return outputs(select(wait <= 0.0, tanh(z), h), select(wait <= 0.0, period - 1.0, wait - 1.0));
  }
};
// Phased LSTM: how far a unit is open at time t. u = (t - shift) / tau; its fraction is the phase.
struct PhaseGate {
  static constexpr const char* name = "phase_gate";
  static constexpr const char* arguments = "t tau shift r";
  static constexpr const char* results = "k";
  double leak = 0;  // of a closed unit
  TL_HD auto operator()(auto t, auto tau, auto shift, auto r) const {
    auto u = (t - shift) / tau;
    auto phase = u - floor(u);
    auto rise = 2.0 * phase / r;
    return select(rise < 1.0, rise, select(rise < 2.0, 2.0 - rise, leak * phase));
  }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct GatedPage : Page<GatedStep, Mut1Step, CarryStep, ClockworkStep, PhaseGate> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::GatedPage::contains<F>) struct PageOf<F> {
  using type = nn::GatedPage;
};
}  // namespace tapeloop
