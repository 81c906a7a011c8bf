// SPDX-License-Identifier: MIT
// FORMULA PAGE: the simple recurrent cell. z: a pre-activation, [N, H].
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

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct RnnPage : Page<ElmanTanh, ElmanRelu> {
  using OfSequences = Page<ElmanTanh, ElmanRelu>;  // formulas of the persistent kernels for CUDA
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::RnnPage::contains<F>) struct PageOf<F> {
  using type = nn::RnnPage;
};
}  // namespace tapeloop
