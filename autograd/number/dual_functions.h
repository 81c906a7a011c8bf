// SPDX-License-Identifier: MIT
// Every function of math.h on dual numbers: its value, and its derivative by the chain rule.
#pragma once

#include "tapeloop/autograd/number/dual.h"

namespace tapeloop {

template <DualNumber A>
TL_HD auto exp(const A& x) {
  auto y = exp(x.value);
  return dual::chain(x, y, y);
}
template <DualNumber A>
TL_HD auto log(const A& x) {
  return dual::chain(x, log(x.value), 1.0 / x.value);
}
template <DualNumber A>
TL_HD auto log1p(const A& x) {
  return dual::chain(x, log1p(x.value), 1.0 / (1.0 + x.value));
}
template <DualNumber A>
TL_HD auto sqrt(const A& x) {
  auto y = sqrt(x.value);
  return dual::chain(x, y, 0.5 / y);
}
template <DualNumber A>
TL_HD auto tanh(const A& x) {
  auto y = tanh(x.value);
  return dual::chain(x, y, 1.0 - y * y);
}
template <DualNumber A>
TL_HD auto sigmoid(const A& x) {
  auto y = sigmoid(x.value);
  return dual::chain(x, y, y * (1.0 - y));
}
template <DualNumber A>
TL_HD auto softplus(const A& x) {
  return dual::chain(x, softplus(x.value), sigmoid(x.value));
}
template <DualNumber A>
TL_HD auto sin(const A& x) {
  return dual::chain(x, sin(x.value), cos(x.value));
}
template <DualNumber A>
TL_HD auto cos(const A& x) {
  return dual::chain(x, cos(x.value), -sin(x.value));
}
template <DualNumber A>
TL_HD auto erf(const A& x) {
  constexpr double kTwoOverRootPi = 1.12837916709551257390;
  return dual::chain(x, erf(x.value), kTwoOverRootPi * exp(-(x.value * x.value)));
}
template <DualNumber A>
TL_HD auto square(const A& x) {
  return dual::chain(x, x.value * x.value, 2.0 * x.value);
}
// abs'(0) = 0.
template <DualNumber A>
TL_HD auto abs(const A& x) {
  return dual::chain(x, abs(x.value), sign(dual::innermost(x)));
}
// sign and floor are flat: their derivative is 0 everywhere.
template <DualNumber A>
TL_HD auto sign(const A& x) {
  return sign(dual::innermost(x));
}
template <DualNumber A>
TL_HD auto floor(const A& x) {
  return floor(dual::innermost(x));
}
// max and min: if both are equal, each gets half of the gradient (PyTorch's rule).
template <class B, AnyDual<B> A>
TL_HD auto max(const A& a, const B& b) {
  return select(a > b, a, select(b > a, b, 0.5 * a + 0.5 * b));
}
template <class B, AnyDual<B> A>
TL_HD auto min(const A& a, const B& b) {
  return select(a < b, a, select(b < a, b, 0.5 * a + 0.5 * b));
}
// clamp: derivative 1 within and on the bounds, 0 outside (PyTorch's rule).
template <DualNumber A>
TL_HD auto clamp(const A& x, double low, double high) {
  return select(x < low, low, select(x > high, high, x));
}
// pow: d/dx x^n = n x^(n-1), and 0 if n = 0, for every x; d/dn x^n = x^n log(x), and 0 if x = 0,
// for every n.
namespace dual {
template <class X, class N>
TL_HD auto power_slope(const X& x, const N& n) {
  return zero_safe_product(n, pow(x, n - 1.0));
}
template <class X, class Y>
TL_HD auto log_of_base(const X& x, const Y& power) {
  if constexpr (Scalar<X> && !std::is_same_v<X, Y>) {
    return log_of_base(As<decltype(innermost(power))>::convert(x), power);
  } else {
    const auto at_zero = x == 0.0;
    return select(at_zero, 0.0, zero_safe_product(power, log(select(at_zero, 1.0, x))));
  }
}
}  // namespace dual
template <class B, DualAndLower<B> A>
TL_HD auto pow(const A& x, const B& n) {
  auto value = pow(x.value, n);
  return dual::chain(x, value, dual::power_slope(x.value, n));
}
template <class A, DualAndLower<A> B>
TL_HD auto pow(const A& x, const B& n) {
  auto value = pow(x, n.value);
  return dual::chain(n, value, dual::log_of_base(x, value));
}
template <class B, BothDual<B> A>
TL_HD auto pow(const A& x, const B& n) {
  auto value = pow(x.value, n.value);
  return dual::chain(x, n, value, dual::power_slope(x.value, n.value),
                     dual::log_of_base(x.value, value));
}

}  // namespace tapeloop
