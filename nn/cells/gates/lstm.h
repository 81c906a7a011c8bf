// SPDX-License-Identifier: MIT
// FORMULA PAGE: the LSTM. Kernels and derivatives are compiled from the formula. All arguments are
// elements of [N, H]: pre-activations in the order i f g o, and the previous state. `arguments` and
// `results` are names for pictures and messages; results default to h, s1, ...
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

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
// The same with a mask on the candidate: tanh(g) m
struct LstmMaskedGates {
  static constexpr const char* name = "lstm_masked_gates";
  static constexpr const char* arguments = "i f g o m c";
  static constexpr const char* results = "h c";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto m, auto c) const {
    auto c_next = sigmoid(f) * c + sigmoid(i) * (tanh(g) * m);
    return outputs(sigmoid(o) * tanh(c_next), c_next);
  }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct LstmPage : Page<LstmGates, LstmMaskedGates> {
  using OfSequences = Page<LstmGates>;  // formulas of the persistent kernels for CUDA
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::LstmPage::contains<F>) struct PageOf<F> {
  using type = nn::LstmPage;
};
}  // namespace tapeloop
