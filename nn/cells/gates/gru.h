// SPDX-License-Identifier: MIT
// FORMULA PAGE: the GRU. Arguments are elements of [N, H]: pre-activations in the order r z n, then
// h.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

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
// The same with a mask on the candidate: n m
struct GruMaskedGates {
  static constexpr const char* name = "gru_masked_gates";
  static constexpr const char* arguments = "xr xz xn hr hz hn m h";
  TL_HD auto operator()(auto xr, auto xz, auto xn, auto hr, auto hz, auto hn, auto m,
                        auto h) const {
    auto z = sigmoid(xz + hz);
    auto n = tanh(xn + sigmoid(xr + hr) * hn) * m;
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
// The second of the two formulas above; the formula of the UGRNN.
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
struct GruPage : Page<GruGates, GruMaskedGates, GruResetState, GruUpdate> {
  using OfSequences = Page<GruGates>;  // formulas of the persistent kernels for CUDA
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::GruPage::contains<F>) struct PageOf<F> {
  using type = nn::GruPage;
};
}  // namespace tapeloop
