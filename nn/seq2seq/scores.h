// SPDX-License-Identifier: MIT
// FORMULA PAGE: the pointwise formulas of attention scores, each written once. Kernels and
// derivatives are compiled from them. Products, masks and softmax are in attention.cpp.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// The hidden layer of the additive score. Bahdanau, Cho & Bengio 2015
//   e = tanh(k + q)            k: from the source, q: from the query
struct AdditiveHidden {
  static constexpr const char* name = "additive_hidden";
  TL_HD auto operator()(auto k, auto q) const { return tanh(k + q); }
};
// A vector x scaled to length 1, from its squared length s. A vector of zeros stays 0.
//   y = x / sqrt(max(s, 1e-16))
struct UnitLength {
  static constexpr const char* name = "unit_length";
  TL_HD auto operator()(auto x, auto s) const { return x / sqrt(max(s, 1e-16)); }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct ScoresPage : Page<AdditiveHidden, UnitLength> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::ScoresPage::contains<F>) struct PageOf<F> {
  using type = nn::ScoresPage;
};
}  // namespace tapeloop
