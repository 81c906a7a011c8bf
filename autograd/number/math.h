// SPDX-License-Identifier: MIT
// The functions of formulas, for float, double and SIMD registers of them. A formula page includes
// this header alone. Nothing here throws; a domain error gives NaN, as in <cmath>. Functions of one
// argument are in functions.h; max, min and clamp are in exact_math.h.
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

}  // namespace tapeloop
