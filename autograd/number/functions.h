// SPDX-License-Identifier: MIT
// The elementary functions of one argument. Each is one rule: its name, its value, its slope and
// its largest error. Registers, dual numbers, traces, kernels, tests and the table of doc/cells.md
// take what they need from the rule. Functions of two arguments are in math.h and exact_math.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "tapeloop/autograd/number/approximation.h"

namespace tapeloop {

// The largest error of a value, in units in the last place (ULP): the gap between neighbouring
// numbers of the type at the true result; below the normal range it is the smallest denormal.
// A test checks each function against its rule.
struct Accuracy {
  double float32;              // 0.5 is correctly rounded, 0 is exact
  double float64;              // the same for double
  double float64_without_fma;  // where fma() is no instruction, so the C library takes over
  const char* domain;          // the arguments for which it holds
};

// A number of any kind: a scalar, a register, a Dual, or a Traced (formula_trace.h).
template <class X>
concept Number = Real<X> || kIsNumber<X>;

// The function of a rule at x. Each kind of number has an overload.
template <class Rule, Real V>
TL_HD V apply_rule(V x) {
  return Rule::value(x);
}

namespace formula {

// The base of a rule. It makes the rule a functor, from which kernels are made.
template <class Rule>
struct Function {
  static constexpr bool flat = false;  // true: the slope is 0 everywhere, so the rule has none
  TL_HD auto operator()(auto x) const { return apply_rule<Rule>(x); }
};

struct Abs;
struct Sign;
struct Floor;
struct Square;
struct Sqrt;
struct Exp;
struct Log;
struct Log1p;
struct Sin;
struct Cos;
struct Atan;
struct Erf;
struct Tanh;
struct Sigmoid;
struct Softplus;
// Every rule is in this list.
using Functions = TypeList<Abs, Sign, Floor, Square, Sqrt, Exp, Log, Log1p, Sin, Cos, Atan, Erf,
                           Tanh, Sigmoid, Softplus>;

}  // namespace formula

// In a rule, slope(x), or slope(x, y) where y is the value, is the derivative at x. It is written
// with operations of numbers, so it has derivatives of its own. value() takes scalars and
// registers; that of square takes every number.

// abs(x): the magnitude of x; abs'(0) = 0.
struct formula::Abs : formula::Function<formula::Abs> {
  static constexpr const char* name = "abs";
  static constexpr Accuracy accuracy = {0, 0, 0, "all"};
  template <Real V>
  TL_HD static V value(V x) {
    return bits::to<V>(bits::from(x) & ~bits::kSign<V>);
  }
  TL_HD static auto slope(const auto& x) { return apply_rule<Sign>(x); }
};
template <Number X>
TL_HD auto abs(const X& x) {
  return apply_rule<formula::Abs>(x);
}

// sign(x): -1, 0 or 1; NaN for NaN. Its slope is 0.
struct formula::Sign : formula::Function<formula::Sign> {
  static constexpr const char* name = "sign";
  static constexpr bool flat = true;
  static constexpr Accuracy accuracy = {0, 0, 0, "all"};
  template <Real V>
  TL_HD static V value(V x) {
    return select(x > 0, lift<V>(1), select(x < 0, lift<V>(-1), x));
  }
};
template <Number X>
TL_HD auto sign(const X& x) {
  return apply_rule<formula::Sign>(x);
}

// floor(x): the largest integer not above x. Its slope is 0.
struct formula::Floor : formula::Function<formula::Floor> {
  static constexpr const char* name = "floor";
  static constexpr bool flat = true;
  static constexpr Accuracy accuracy = {0, 0, 0, "all"};
  template <Real V>
  TL_HD static V value(V x) {
    // From 2^23 (float) or 2^52 (double) on, every number is an integer. Below, x + that number is
    // rounded to an integer.
    const V size = abs(x);
    const V large = lift<V>(sizeof(ElementOf<V>) == 4 ? 0x1p23 : 0x1p52);
    const V nearest = copysign((size + large) - large, x);
    const V below = select(nearest > x, nearest - 1, nearest);
    return select(size < large, copysign(below, x), x);
  }
};
template <Number X>
TL_HD auto floor(const X& x) {
  return apply_rule<formula::Floor>(x);
}

// square(x): x^2.
struct formula::Square : formula::Function<formula::Square> {
  static constexpr const char* name = "square";
  static constexpr Accuracy accuracy = {0.5, 0.5, 0.5, "all"};
  TL_HD static auto value(const auto& x) { return x * x; }
  TL_HD static auto slope(const auto& x) { return 2.0 * x; }
};
template <Number X>
TL_HD auto square(const X& x) {
  return apply_rule<formula::Square>(x);
}

// sqrt(x): the square root of x.
struct formula::Sqrt : formula::Function<formula::Sqrt> {
  static constexpr const char* name = "sqrt";
  static constexpr Accuracy accuracy = {0.5, 0.5, 0.5, "x >= 0; NaN below"};
  template <Real V>
  TL_HD static V value(V x) {
    if constexpr (kIsVec<V>) {
      return square_root(x);
    } else {
      return std::sqrt(x);
    }
  }
  TL_HD static auto slope(const auto&, const auto& y) { return 0.5 / y; }
};
template <Number X>
TL_HD auto sqrt(const X& x) {
  return apply_rule<formula::Sqrt>(x);
}

// exp(x): e^x.
struct formula::Exp : formula::Function<formula::Exp> {
  static constexpr const char* name = "exp";
  static constexpr Accuracy accuracy = {1.05, 1.05, 1.05,
                                        "all; overflows to inf and underflows through denormals"};
  template <Real V>
  TL_HD static V value(V x) {
    using F = math::Format<ElementOf<V>>;
    if constexpr (math::kUseLibrary<V>) {
      return math::by_library(x, [](ElementOf<V> lane) { return std::exp(lane); });
    } else {
      // 2^n may be out of range although the result is not, so the code multiplies by two factors.
      const auto [r, word] = math::reduce(math::within(x, F::exp_low, F::exp_high), 2 * F::bias);
      const auto half = word >> 1;
      const V first = math::power_of_2<V>(half);
      const V second = math::power_of_2<V>(word - half);
      return fma(first, math::exp_minus_1_near_0(r), first) * second;
    }
  }
  TL_HD static auto slope(const auto&, const auto& y) { return y; }
};
template <Number X>
TL_HD auto exp(const X& x) {
  return apply_rule<formula::Exp>(x);
}

// log(x): the natural logarithm of x.
struct formula::Log : formula::Function<formula::Log> {
  static constexpr const char* name = "log";
  static constexpr Accuracy accuracy = {1, 1, 1, "x > 0; log(0) = -inf, NaN below"};
  template <Real V>
  TL_HD static V value(V x) {
    return math::by_library(x, [](ElementOf<V> lane) { return std::log(lane); });
  }
  TL_HD static auto slope(const auto& x) { return 1.0 / x; }
};
template <Number X>
TL_HD auto log(const X& x) {
  return apply_rule<formula::Log>(x);
}

// log1p(x): log(1 + x); for small x it keeps the digits that 1 + x loses.
struct formula::Log1p : formula::Function<formula::Log1p> {
  static constexpr const char* name = "log1p";
  static constexpr Accuracy accuracy = {1, 1, 1, "x > -1; log1p(-1) = -inf, NaN below"};
  template <Real V>
  TL_HD static V value(V x) {
    return math::by_library(x, [](ElementOf<V> lane) { return std::log1p(lane); });
  }
  TL_HD static auto slope(const auto& x) { return 1.0 / (1.0 + x); }
};
template <Number X>
TL_HD auto log1p(const X& x) {
  return apply_rule<formula::Log1p>(x);
}

// sin(x): the sine of x in radians.
struct formula::Sin : formula::Function<formula::Sin> {
  static constexpr const char* name = "sin";
  static constexpr Accuracy accuracy = {1, 1, 1, "finite x"};
  template <Real V>
  TL_HD static V value(V x) {
    return math::by_library(x, [](ElementOf<V> lane) { return std::sin(lane); });
  }
  TL_HD static auto slope(const auto& x) { return apply_rule<Cos>(x); }
};
template <Number X>
TL_HD auto sin(const X& x) {
  return apply_rule<formula::Sin>(x);
}

// cos(x): the cosine of x in radians.
struct formula::Cos : formula::Function<formula::Cos> {
  static constexpr const char* name = "cos";
  static constexpr Accuracy accuracy = {1, 1, 1, "finite x"};
  template <Real V>
  TL_HD static V value(V x) {
    return math::by_library(x, [](ElementOf<V> lane) { return std::cos(lane); });
  }
  TL_HD static auto slope(const auto& x) { return -apply_rule<Sin>(x); }
};
template <Number X>
TL_HD auto cos(const X& x) {
  return apply_rule<formula::Cos>(x);
}

// atan(x): the angle in radians, from -pi/2 to pi/2, whose tangent is x.
struct formula::Atan : formula::Function<formula::Atan> {
  static constexpr const char* name = "atan";
  static constexpr Accuracy accuracy = {1.25, 1.6, 1, "all; atan(-x) = -atan(x), atan(-0) = -0"};
  template <Real V>
  TL_HD static V value(V x) {
    using F = math::Format<ElementOf<V>>;
    if constexpr (math::kUseLibrary<V>) {
      return math::by_library(x, [](ElementOf<V> lane) { return std::atan(lane); });
    } else {
      // Above 1: atan(x) = pi / 2 - atan(1 / x).
      const V size = abs(x);
      const V t = select(size > 1, 1 / size, size);
      const V q = math::atan_tail(t * t);
      const V t3 = t * (t * t);
      const V large = F::half_pi_high - (t + fma(t3, q, lift<V>(-F::half_pi_low)));
      return copysign(select(size > 1, large, fma(t3, q, t)), x);
    }
  }
  TL_HD static auto slope(const auto& x) { return 1.0 / (1.0 + x * x); }
};
template <Number X>
TL_HD auto atan(const X& x) {
  return apply_rule<formula::Atan>(x);
}

// erf(x): the error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.
struct formula::Erf : formula::Function<formula::Erf> {
  static constexpr const char* name = "erf";
  static constexpr Accuracy accuracy = {1, 1, 1, "all"};
  template <Real V>
  TL_HD static V value(V x) {
    return math::by_library(x, [](ElementOf<V> lane) { return std::erf(lane); });
  }
  TL_HD static auto slope(const auto& x) {
    constexpr double kTwoOverRootPi = 1.12837916709551257390;
    return kTwoOverRootPi * exp(-(x * x));
  }
};
template <Number X>
TL_HD auto erf(const X& x) {
  return apply_rule<formula::Erf>(x);
}

// tanh(x): the hyperbolic tangent of x.
struct formula::Tanh : formula::Function<formula::Tanh> {
  static constexpr const char* name = "tanh";
  static constexpr Accuracy accuracy = {1.25, 1.4, 2.5,
                                        "all; tanh(-x) = -tanh(x), tanh(-0) = -0, x if tiny"};
  template <Real V>
  TL_HD static V value(V x) {
    using F = math::Format<ElementOf<V>>;
    if constexpr (math::kUseLibrary<V>) {
      return math::by_library(x, [](ElementOf<V> lane) { return std::tanh(lane); });
    } else {
      const V size = abs(x);
      const V capped = select(size > F::tanh_one, lift<V>(F::tanh_one), size);
      const auto [r, word] = math::reduce<false>(capped + capped, F::bias);
      const V power = math::power_of_2<V>(word);
      const V exp_plus_1 = fma(power, math::exp_minus_1_near_0(r), power + 1);
      const V large = 1 - 2 / exp_plus_1;
      const V result = select(size < lift<V>(0.6), math::tanh_near_0(size), large);
      return bits::to<V>(bits::from(result) | (bits::from(x) & bits::kSign<V>));
    }
  }
  TL_HD static auto slope(const auto&, const auto& y) { return 1.0 - y * y; }
};
template <Number X>
TL_HD auto tanh(const X& x) {
  return apply_rule<formula::Tanh>(x);
}

// sigmoid(x): 1 / (1 + exp(-x)).
struct formula::Sigmoid : formula::Function<formula::Sigmoid> {
  static constexpr const char* name = "sigmoid";
  static constexpr Accuracy accuracy = {1.7, 1.7, 2,
                                        "all; both tails, down to the smallest denormal"};
  template <Real V>
  TL_HD static V value(V x) {
    using T = ElementOf<V>;
    using F = math::Format<T>;
    if constexpr (math::kUseLibrary<V>) {
      return math::by_library(x, [](T lane) {
        const T e = std::exp(-std::fabs(lane));
        return (lane < 0 ? e : T{1}) / (1 + e);
      });
    } else {
      // Both sides of the fraction are scaled by 2^-shift, so that a denormal result is rounded
      // once.
      const V z = math::within(-x, -F::sigmoid_one, -F::exp_low);
      const auto [r, word] = math::reduce(z, F::bias - F::sigmoid_shift);
      const V power = math::power_of_2<V>(word);
      const V one = lift<V>(1.0 / static_cast<double>(std::uint64_t{1} << (F::sigmoid_shift / 2)) /
                            static_cast<double>(std::uint64_t{1} << (F::sigmoid_shift / 2)));
      const V p = math::exp_minus_1_near_0(r);
      // power + one is exact, or its error is small compared with the result, except for powers
      // near 2^24 (float).
      const V near = fma(power, p, power + one);
      const V far_left = fma(power, p, one) + power;
      return one / select(z > 8, far_left, near);
    }
  }
  TL_HD static auto slope(const auto&, const auto& y) { return y * (1.0 - y); }
};
template <Number X>
TL_HD auto sigmoid(const X& x) {
  return apply_rule<formula::Sigmoid>(x);
}

// softplus(x): log(1 + exp(x)).
struct formula::Softplus : formula::Function<formula::Softplus> {
  static constexpr const char* name = "softplus";
  static constexpr Accuracy accuracy = {2, 2, 2, "all; no overflow; exp(x) in the left tail"};
  template <Real V>
  TL_HD static V value(V x) {
    return max(x, 0) + log1p(exp(-abs(x)));
  }
  TL_HD static auto slope(const auto& x) { return sigmoid(x); }
};
template <Number X>
TL_HD auto softplus(const X& x) {
  return apply_rule<formula::Softplus>(x);
}

}  // namespace tapeloop
