// SPDX-License-Identifier: MIT
// One step of a scan, and how two steps join into one, for any number type: registers of the CPU,
// elements on a GPU.
//   real      h' = a h + b
//   complex   the same, with numbers as pairs (re, im)
//   log       h' = log(e^(a + h) + e^b): a, b and h are the logarithms of the real scan's
// `conjugate`: conj(a) takes the place of a. `chain`: the scan is a gradient; in its products an
// exact zero wins over infinity and NaN, as in the chain rule (dual.h).
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop {

// What the numbers of a scan are: see above.
enum class ScanKind { real, complex, log };

// One number: a register, or a pair of them.
template <class V, ScanKind kKind>
struct ScanNumber {
  V re;  // the number
};
// A pair.
template <class V>
struct ScanNumber<V, ScanKind::complex> {
  V re;  // real part
  V im;  // imaginary part
};

// The step of a scan of this kind.
template <ScanKind kKind, bool kConjugate, bool kChain>
struct ScanStep {
  // What it calculates with.
  template <class V>
  using Number = ScanNumber<V, kKind>;

  // a h
  template <class V>
  static TL_HD Number<V> times(const Number<V>& a, const Number<V>& h) {
    if constexpr (kKind == ScanKind::log) {
      return {a.re + h.re};
    } else if constexpr (kKind == ScanKind::real) {
      return {product(a.re, h.re)};
    } else if constexpr (kConjugate) {
      return {product(a.re, h.re) + product(a.im, h.im), product(a.re, h.im) - product(a.im, h.re)};
    } else {
      return {product(a.re, h.re) - product(a.im, h.im), product(a.re, h.im) + product(a.im, h.re)};
    }
  }
  // a h + b
  template <class V>
  static TL_HD Number<V> next(const Number<V>& a, const Number<V>& h, const Number<V>& b) {
    if constexpr (kKind == ScanKind::log) {
      return {log_of_sum(a.re + h.re, b.re)};
    } else if constexpr (kKind == ScanKind::real) {
      return {product(a.re, h.re) + b.re};
    } else {
      const Number<V> ah = times(a, h);
      return {ah.re + b.re, ah.im + b.im};
    }
  }

 private:
  template <class V>
  static TL_HD V product(V a, V b) {
    if constexpr (kChain) {
      return zero_safe_product(a, b);
    } else {
      return a * b;
    }
  }
  // log(e^x + e^y); -inf, the logarithm of 0, is allowed.
  template <class V>
  static TL_HD V log_of_sum(V x, V y) {
    const V distance = select(x == y, 0.0, abs(x - y));  // inf - inf would be NaN
    return select(x < y, y, x) + log1p(exp(-distance));
  }
};

}  // namespace tapeloop
