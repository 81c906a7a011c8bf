// SPDX-License-Identifier: MIT
// FORMULA PAGE: the mLSTM, and the blocks of an xLSTM. Arguments are elements of matrices of one
// head, or rows and columns that are the same along an axis. Beck et al. 2024, arXiv:2405.04517
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// What step s adds to step t: the product p of query t and key s, times the gates between them. An
// earlier step cannot read a later one.
//   w = p e^(d + a)    d = sum of log f up to t, minus m of t;  a = i of s, minus the sum up to s
struct MlstmScore {
  static constexpr const char* name = "mlstm_score";
  static constexpr const char* arguments = "p d a t s";
  static constexpr const char* results = "w";
  TL_HD auto operator()(auto p, auto d, auto a, auto t, auto s) const {
    return select(s - t <= 0.0, p * exp(d + a), 0.0);
  }
};
// What a step reads from the memory: r = C q by the normaliser n.q
//   h = r / (max(|n.q|, e^-m) + epsilon)
struct MlstmRead {
  static constexpr const char* name = "mlstm_read";
  static constexpr const char* arguments = "r nq m";
  static constexpr const char* results = "h";
  double epsilon = 0;  // added to the denominator
  TL_HD auto operator()(auto r, auto nq, auto m) const {
    return r / (max(abs(nq), exp(-m)) + epsilon);
  }
};
// The same through an output gate: h = sigmoid(o) MlstmRead
struct MlstmOutput {
  static constexpr const char* name = "mlstm_output";
  static constexpr const char* arguments = "o r nq m";
  static constexpr const char* results = "h";
  double epsilon = 0;  // added to the denominator
  TL_HD auto operator()(auto o, auto r, auto nq, auto m) const {
    return sigmoid(o) * MlstmRead{epsilon}(r, nq, m);
  }
};
// A gated MLP: gelu(g) u
struct GeluGate {
  static constexpr const char* name = "gelu_gate";
  static constexpr const char* arguments = "g u";
  static constexpr const char* results = "y";
  TL_HD auto operator()(auto g, auto u) const { return gelu(g) * u; }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct MlstmPage : Page<MlstmScore, MlstmRead, MlstmOutput, GeluGate> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::MlstmPage::contains<F>) struct PageOf<F> {
  using type = nn::MlstmPage;
};
}  // namespace tapeloop
