// SPDX-License-Identifier: MIT
// FORMULA PAGE: batch normalisation. x and dy are elements; the other arguments are those of a
// channel.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// (x - mean) scale + shift
struct Normalise {
  static constexpr const char* name = "normalise";
  static constexpr const char* arguments = "x mean scale shift";
  TL_HD auto operator()(auto x, auto mean, auto scale, auto shift) const {
    return (x - mean) * scale + shift;
  }
};
// dy (x - mean)
struct CentredProduct {
  static constexpr const char* name = "centred_product";
  static constexpr const char* arguments = "dy x mean";
  TL_HD auto operator()(auto dy, auto x, auto mean) const { return dy * (x - mean); }
};
// The gradient of x: a dy - b - c (x - mean)
struct NormaliseGradient {
  static constexpr const char* name = "normalise_gradient";
  static constexpr const char* arguments = "dy x mean a b c";
  TL_HD auto operator()(auto dy, auto x, auto mean, auto a, auto b, auto c) const {
    return a * dy - b - c * (x - mean);
  }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct NormPage : Page<Normalise, CentredProduct, NormaliseGradient> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::NormPage::contains<F>) struct PageOf<F> {
  using type = nn::NormPage;
};
}  // namespace tapeloop
