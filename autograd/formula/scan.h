// SPDX-License-Identifier: MIT
// FORMULA PAGE: what the gradients of scans multiply. Inputs are elements of [T, N, H].
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::formula {

// conj(x) y, of complex numbers (xr, xi) and (yr, yi). An exact zero wins over infinity.
struct ConjugateProduct {
  static constexpr const char* name = "conjugate_product";
  static constexpr const char* arguments = "xr xi yr yi";
  static constexpr const char* results = "re im";
  TL_HD auto operator()(auto xr, auto xi, auto yr, auto yi) const {
    return outputs(zero_safe_product(xr, yr) + zero_safe_product(xi, yi),
                   zero_safe_product(xr, yi) - zero_safe_product(xi, yr));
  }
};
// e^(x - s), the share of a term e^x in a sum e^s; 0 for the logarithm of 0.
struct LogShare {
  static constexpr const char* name = "log_share";
  static constexpr const char* arguments = "x s";
  TL_HD auto operator()(auto x, auto s) const { return select(x < -3e38, 0.0, exp(x - s)); }
};

}  // namespace tapeloop::formula

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop {
struct ScanPage : Page<formula::ConjugateProduct, formula::LogShare> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
template <class F>
requires(ScanPage::contains<F>) struct PageOf<F> {
  using type = ScanPage;
};
}  // namespace tapeloop
