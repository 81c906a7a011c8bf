// SPDX-License-Identifier: MIT
// FORMULA PAGE: the gate formulas of the recurrent cells, each written once. Kernels and
// derivatives are compiled from them. All arguments are elements of [N, H]: pre-activations z and
// previous states. Gate order: i f g o; r z n. `arguments` and `results` are names for pictures and
// messages; results default to h, s1, ...
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// Elman RNN. Elman 1990
//   h' = tanh(z)
struct ElmanTanh {
  static constexpr const char* name = "rnn_tanh";
  static constexpr const char* arguments = "z";
  TL_HD auto operator()(auto z) const { return tanh(z); }
};
//   h' = relu(z), relu'(0) = 0
struct ElmanRelu {
  static constexpr const char* name = "rnn_relu";
  static constexpr const char* arguments = "z";
  TL_HD auto operator()(auto z) const { return select(z <= 0.0, 0.0, z); }
};

// LSTM. Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000
//   c' = sigmoid(f) c + sigmoid(i) tanh(g)
//   h' = sigmoid(o) tanh(c')
struct LstmGates {
  static constexpr const char* name = "lstm_gates";
  static constexpr const char* arguments = "i f g o c";
  static constexpr const char* results = "h c";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto c) const {
    auto c_next = sigmoid(f) * c + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o) * tanh(c_next), c_next);
  }
};

// GRU, reset gate after the recurrent product (PyTorch, cuDNN). Cho et al. 2014, arXiv:1406.1078 v1
//   n = tanh(xn + sigmoid(xr + hr) hn)
//   h' = (1 - sigmoid(xz + hz)) n + sigmoid(xz + hz) h
// x.: from the input, h.: from the state, both with their biases
struct GruGates {
  static constexpr const char* name = "gru_gates";
  static constexpr const char* arguments = "xr xz xn hr hz hn h";
  TL_HD auto operator()(auto xr, auto xz, auto xn, auto hr, auto hz, auto hn, auto h) const {
    auto z = sigmoid(xz + hz);
    auto n = tanh(xn + sigmoid(xr + hr) * hn);
    return n + z * (h - n);
  }
};
// GRU, reset gate before the recurrent product. Cho et al. 2014, arXiv:1406.1078 v3. Two formulas,
// with a product between them:
//   s = sigmoid(r) h
//   h' = (1 - sigmoid(z)) tanh(n) + sigmoid(z) h
struct GruResetState {
  static constexpr const char* name = "gru_reset";
  static constexpr const char* arguments = "r h";
  TL_HD auto operator()(auto r, auto h) const { return sigmoid(r) * h; }
};
// The second of the two formulas above.
struct GruUpdate {
  static constexpr const char* name = "gru_update";
  static constexpr const char* arguments = "z n h";
  TL_HD auto operator()(auto z, auto n, auto h) const {
    auto candidate = tanh(n);
    return candidate + sigmoid(z) * (h - candidate);
  }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct GatesPage : Page<ElmanTanh, ElmanRelu, LstmGates, GruGates, GruResetState, GruUpdate> {
  using OfSequences = Page<ElmanTanh, ElmanRelu, LstmGates, GruGates>;  // formulas for recurrent()
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::GatesPage::contains<F>) struct PageOf<F> {
  using type = nn::GatesPage;
};
}  // namespace tapeloop
