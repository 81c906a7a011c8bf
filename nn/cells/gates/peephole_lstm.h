// SPDX-License-Identifier: MIT
// FORMULA PAGE: LSTMs whose step has two formulas, one of c' and one of h', which reads the new c'.
// The variants are those of Greff et al. 2015, "LSTM: A Search Space Odyssey", arXiv:1503.04069.
// Arguments are elements of [N, H]: pre-activations i f g o, and c.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// c' = sigmoid(f) c + sigmoid(i) tanh(g)
struct LstmState {
  static constexpr const char* name = "lstm_state";
  static constexpr const char* arguments = "i f g c";
  static constexpr const char* results = "c";
  TL_HD auto operator()(auto i, auto f, auto g, auto c) const {
    return sigmoid(f) * c + sigmoid(i) * tanh(g);
  }
};
// NIG, no input gate: c' = sigmoid(f) c + tanh(g)
struct NoInputGate {
  static constexpr const char* name = "no_input_gate";
  static constexpr const char* arguments = "f g c";
  static constexpr const char* results = "c";
  TL_HD auto operator()(auto f, auto g, auto c) const { return sigmoid(f) * c + tanh(g); }
};
// NFG, no forget gate: c' = c + sigmoid(i) tanh(g)
struct NoForgetGate {
  static constexpr const char* name = "no_forget_gate";
  static constexpr const char* arguments = "i g c";
  static constexpr const char* results = "c";
  TL_HD auto operator()(auto i, auto g, auto c) const { return c + sigmoid(i) * tanh(g); }
};
// CIFG, coupled gates: c' = (1 - sigmoid(i)) c + sigmoid(i) tanh(g)
struct CoupledGates {
  static constexpr const char* name = "coupled_gates";
  static constexpr const char* arguments = "i g c";
  static constexpr const char* results = "c";
  TL_HD auto operator()(auto i, auto g, auto c) const { return c + sigmoid(i) * (tanh(g) - c); }
};
// NIAF, no input activation: c' = sigmoid(f) c + sigmoid(i) g
struct NoInputActivation {
  static constexpr const char* name = "no_input_activation";
  static constexpr const char* arguments = "i f g c";
  static constexpr const char* results = "c";
  TL_HD auto operator()(auto i, auto f, auto g, auto c) const {
    return sigmoid(f) * c + sigmoid(i) * g;
  }
};
// FGR, full gate recurrence: the state of the LSTM, and the gates, which the next step reads
struct FullGateState {
  static constexpr const char* name = "full_gate_state";
  static constexpr const char* arguments = "i f g c";
  static constexpr const char* results = "c i f";
  TL_HD auto operator()(auto i, auto f, auto g, auto c) const {
    auto in = sigmoid(i);
    auto forget = sigmoid(f);
    return outputs(forget * c + in * tanh(g), in, forget);
  }
};

// h' = sigmoid(o) tanh(c')
struct LstmOutput {
  static constexpr const char* name = "lstm_output";
  static constexpr const char* arguments = "o c";
  TL_HD auto operator()(auto o, auto c) const { return sigmoid(o) * tanh(c); }
};
// NOG, no output gate: h' = tanh(c')
struct NoOutputGate {
  static constexpr const char* name = "no_output_gate";
  static constexpr const char* arguments = "c";
  TL_HD auto operator()(auto c) const { return tanh(c); }
};
// NOAF, no output activation: h' = sigmoid(o) c'
struct NoOutputActivation {
  static constexpr const char* name = "no_output_activation";
  static constexpr const char* arguments = "o c";
  TL_HD auto operator()(auto o, auto c) const { return sigmoid(o) * c; }
};
// FGR: the output of the LSTM, and the gate
struct FullGateOutput {
  static constexpr const char* name = "full_gate_output";
  static constexpr const char* arguments = "o c";
  static constexpr const char* results = "h o";
  TL_HD auto operator()(auto o, auto c) const {
    auto out = sigmoid(o);
    return outputs(out * tanh(c), out);
  }
};

// One of the formulas above with diagonal peepholes: its gates also see the cell state, a + p c.
// Gers & Schmidhuber 2000. For two gates.
template <class F>
struct TwoPeepholes {
  static constexpr const char* name = F::name;
  static constexpr const char* arguments = "i f g pi pf c";
  static constexpr const char* results = F::results;
  TL_HD auto operator()(auto i, auto f, auto g, auto pi, auto pf, auto c) const {
    return F{}(i + pi * c, f + pf * c, g, c);
  }
};
// The same for one gate.
template <class F>
struct OnePeephole {
  static constexpr const char* name = F::name;
  static constexpr const char* arguments = "a g p c";
  static constexpr const char* results = F::results;
  TL_HD auto operator()(auto a, auto g, auto p, auto c) const { return F{}(a + p * c, g, c); }
};
// The same for the output gate.
template <class F>
struct OutputPeephole {
  static constexpr const char* name = F::name;
  static constexpr const char* arguments = "o p c";
  TL_HD auto operator()(auto o, auto p, auto c) const { return F{}(o + p * c, c); }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct PeepholeLstmPage
    : Page<LstmState, NoInputGate, NoForgetGate, CoupledGates, NoInputActivation, FullGateState,
           LstmOutput, NoOutputGate, NoOutputActivation, FullGateOutput,  //
           TwoPeepholes<LstmState>, TwoPeepholes<NoInputActivation>, TwoPeepholes<FullGateState>,
           OnePeephole<NoInputGate>, OnePeephole<NoForgetGate>, OnePeephole<CoupledGates>,
           OutputPeephole<LstmOutput>, OutputPeephole<NoOutputActivation>,
           OutputPeephole<FullGateOutput>> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::PeepholeLstmPage::contains<F>) struct PageOf<F> {
  using type = nn::PeepholeLstmPage;
};
}  // namespace tapeloop
