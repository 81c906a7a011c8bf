// SPDX-License-Identifier: MIT
// The functions of math.h on dual numbers: the value, and the derivative by the chain rule.
#pragma once

#include "tapeloop/autograd/number/dual.h"

namespace tapeloop {

// A function of one argument, by its rule.
namespace dual {
template <class Rule, class V>
TL_HD auto value_at(const V& x) {
  if constexpr (requires { Rule::value(x); }) {
    return Rule::value(x);
  } else {  // x is a Dual, too
    return apply_rule<Rule>(x);
  }
}
}  // namespace dual
template <class Rule, DualNumber X>
TL_HD auto apply_rule(const X& x) {
  if constexpr (Rule::flat) {
    return apply_rule<Rule>(dual::innermost(x));
  } else if constexpr (requires { Rule::slope(x.value); }) {
    return dual::chain(x, dual::value_at<Rule>(x.value), Rule::slope(x.value));
  } else {
    auto y = dual::value_at<Rule>(x.value);
    return dual::chain(x, y, Rule::slope(x.value, y));
  }
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
