// SPDX-License-Identifier: MIT
// The functions of formulas, for float, double and SIMD registers of them. A formula page includes
// this header alone. Nothing here throws; a domain error gives NaN, as in <cmath>. Elementary
// functions of one argument are in functions.h; max, min and clamp are in exact_math.h.
#pragma once

#include <cmath>

#include "tapeloop/autograd/number/functions.h"

namespace tapeloop {

// x^y for x >= 0, or for an integer y; pow(x, 0) = 1. The C library calculates it, but for y = 2,
// the common case: x * x.
constexpr double kPowUlp = 1;  // the largest error in ULP
template <RealOrScalar A, RealOrScalar B>
TL_HD Joined<A, B> pow(A x, B y) {
  using V = Joined<A, B>;
  using T = ElementOf<V>;
  const auto lane_pow = [](T base, T exponent) {
    return exponent == 2 ? base * base : std::pow(base, exponent);
  };
  if constexpr (Scalar<V>) {
    return lane_pow(static_cast<V>(x), static_cast<V>(y));
  } else {
    const V base = lift<V>(x);
    if constexpr (Scalar<B>) {
      if (static_cast<T>(y) == 2) return base * base;
    }
    const V exponent = lift<V>(y);
    V result;
    if constexpr (V::width == 1) {
      result.raw = lane_pow(base.raw, exponent.raw);
    } else {
      for (int lane = 0; lane < V::width; ++lane) {
        result.raw[lane] =
            lane_pow(static_cast<T>(base.raw[lane]), static_cast<T>(exponent.raw[lane]));
      }
    }
    return result;
  }
}

// --- activations, made of the functions above ---
// relu(x): x above 0, else 0; relu'(0) = 0.
template <Number X>
TL_HD auto relu(const X& x) {
  return select(x <= 0.0, 0.0, x);
}
// leaky_relu(x, slope): x above 0, else x slope; the derivative at 0 is `slope`.
template <Number X>
TL_HD auto leaky_relu(const X& x, double slope = 0.01) {
  return select(x > 0.0, x, x * slope);
}
// elu(x, alpha): x above 0, else alpha (e^x - 1); the derivative at 0 is alpha.
// Clevert et al. 2016.
template <Number X>
TL_HD auto elu(const X& x, double alpha = 1) {
  return select(x > 0.0, x, alpha * (exp(select(x > 0.0, 0.0, x)) - 1.0));
}
// gelu(x): x Phi(x), by erf. Hendrycks & Gimpel 2016.
template <Number X>
TL_HD auto gelu(const X& x) {
  return 0.5 * x * (1.0 + erf(x * 0.70710678118654752440));
}
// silu(x): x sigmoid(x).
template <Number X>
TL_HD auto silu(const X& x) {
  return x * sigmoid(x);
}
// softsign(x): x / (1 + |x|); written so that far out neither value nor slope loses digits.
template <Number X>
TL_HD auto softsign(const X& x) {
  auto share = 1.0 / (1.0 + abs(x));
  return select(abs(x) < 1.0, x * share, sign(x) * (1.0 - share));
}

}  // namespace tapeloop
