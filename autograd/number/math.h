// SPDX-License-Identifier: MIT
// Elementwise functions of float, double, and SIMD registers of them. Nothing here throws; a domain
// error gives NaN, as in <cmath>. Derivatives are in dual.h.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "tapeloop/autograd/number/exact_math.h"

namespace tapeloop {

// One unit in the last place (ULP) is the gap between neighbouring numbers of the type at the true
// result; below the normal range it is the smallest denormal. The tests check the functions against
// this table.
// Without FMA, exp, tanh and sigmoid of double call the C library. For float they give the same
// bits with and without FMA.
struct Accuracy {
  const char* function;  // its name
  double float32;        // largest error in ULP; 0.5 is correctly rounded
  double float64;        // the same for double
  const char* domain;    // the arguments for which it holds, and special values
};
// One row for each function.
constexpr Accuracy kAccuracy[] = {
    {"exp", 1.05, 1.05,
     "all; overflows to inf and underflows through denormals where rounding does"},
    {"tanh", 1.25, kHasFma ? 1.4 : 2.5,
     "all; tanh(-x) = -tanh(x), tanh(-0) = -0, x itself if tiny"},
    {"sigmoid", 1.7, kHasFma ? 1.7 : 2, "all; both tails, down to the smallest denormal"},
    {"softplus", 2, 2, "all; log(1 + exp(x)) without overflow, exp(x) in the left tail"},
    {"log", 1, 1, "x > 0; log(0) = -inf, NaN below; the C library's"},
    {"log1p", 1, 1, "x > -1; log1p(-1) = -inf, NaN below; the C library's"},
    {"sqrt", 0.5, 0.5, "x >= 0; NaN below"},
    {"pow", 1, 1, "x >= 0, or y an integer; pow(x, 0) = 1; the C library's but for y = 2: x * x"},
    {"sin", 1, 1, "finite x; the C library's"},
    {"cos", 1, 1, "finite x; the C library's"},
    {"erf", 1, 1, "all; the C library's"},
};

// --- exp, tanh, sigmoid: one algorithm for scalars and registers ---
//
// exp(x) = 2^n (1 + p)   with n the integer nearest x / log(2), r = x - n log(2), p = exp(r) - 1
// p is a polynomial in r on [-log(2) / 2, log(2) / 2] with the smallest maximal relative error.
// Every product that is added to something is an explicit fma(). So all compilers round it in the
// same way, and a lane gives the bits of the scalar. Adding a large number (Format::round) rounds
// x / log(2) to an integer. The last bits of the sum then hold this integer plus an exponent bias,
// and a shift moves them into the exponent.
namespace math {

template <class T>
struct Format;
template <>
struct Format<float> {
  static constexpr int exponent_at = 23;
  static constexpr int bias = 127;
  static constexpr float round = 0x1.8p23f;
  static constexpr float log2_high = 0x1.62e43p-1f;
  static constexpr float log2_low = -0x1.05c61p-29f;
  static constexpr float exp_low = -104;    // exp rounds to 0 from here on down
  static constexpr float exp_high = 89;     // exp overflows from here on up
  static constexpr float sigmoid_one = 20;  // sigmoid rounds to 1 from here on up
  static constexpr float tanh_one = 10;     // tanh rounds to 1 from here on up
  static constexpr int sigmoid_shift = 32;
};
template <>
struct Format<double> {
  static constexpr int exponent_at = 52;
  static constexpr int bias = 1023;
  static constexpr double round = 0x1.8p52;
  static constexpr double log2_high = 0x1.62e42fefa39efp-1;
  static constexpr double log2_low = 0x1.abc9e3b39803fp-56;
  static constexpr double exp_low = -746;
  static constexpr double exp_high = 710;
  static constexpr double sigmoid_one = 40;
  static constexpr double tanh_one = 20;
  static constexpr int sigmoid_shift = 64;
};

// The even and the odd terms of a polynomial, each by Horner's rule in x^2: as many operations as
// one chain in x, with half the latency.
template <Real V>
struct EvenOdd {
  V even;
  V odd;
};
template <Real V>
TL_HD EvenOdd<V> even_odd(V, ElementOf<V> c0, ElementOf<V> c1) {
  return {lift<V>(c0), lift<V>(c1)};
}
template <Real V>
TL_HD EvenOdd<V> even_odd(V x2, ElementOf<V> c0, ElementOf<V> c1, ElementOf<V> c2) {
  return {fma(lift<V>(c2), x2, lift<V>(c0)), lift<V>(c1)};
}
template <Real V, class... More>
TL_HD EvenOdd<V> even_odd(V x2, ElementOf<V> c0, ElementOf<V> c1, More... higher) {
  const EvenOdd<V> rest = even_odd(x2, higher...);
  return {fma(rest.even, x2, lift<V>(c0)), fma(rest.odd, x2, lift<V>(c1))};
}
template <Real V, class... More>  // c0 + c1 x + c2 x^2 + ..., of x and x^2
TL_HD V polynomial(V x, V x2, More... coefficients) {
  const EvenOdd<V> terms = even_odd(x2, coefficients...);
  return fma(terms.odd, x, terms.even);
}

// exp(r) - 1 for |r| <= log(2) / 2.
template <Real V>
TL_HD V exp_minus_1_near_0(V r) {
  const V r2 = r * r;
  if constexpr (sizeof(ElementOf<V>) == 4) {
    const V q = polynomial(r, r2, 0.49999993444108199f, 0.16666520573333673f, 0.041668388688211465f,
                           0.0083687239613751990f, 0.0013814585966690400f);
    return fma(r2, q, r);
  } else {
    const V q =
        polynomial(r, r2, 0.50000000000000106378, 0.16666666666666412271, 0.041666666666530048585,
                   0.0083333333334945916038, 0.0013888888943663289552, 0.00019841269506369722888,
                   0.000024801493060815962243, 2.7557586492677750563e-6, 2.7630263126612594235e-7,
                   2.5000046180271111369e-8);
    return fma(r2, q, r);
  }
}

// tanh(x) for 0 <= x <= 0.6.
template <Real V>
TL_HD V tanh_near_0(V x) {
  const V x2 = x * x;
  const V x4 = x2 * x2;
  if constexpr (sizeof(ElementOf<V>) == 4) {
    const V q = polynomial(x2, x4, -0.33333298001780151f, 0.13331924115133117f,
                           -0.053783829275860762f, 0.020795968356916094f, -0.0058951543329451642f);
    return fma(x * x2, q, x);
  } else {
    const V q = polynomial(
        x2, x4, -0.33333333333333125013, 0.13333333333299660401, -0.053968253949294822267,
        0.02186948800254695329, -0.0088632267772875949104, 0.0035920373782034519095,
        -0.001455215358278570839, 0.00058718839143896471752, -0.00023039678247243488767,
        0.000079313916197808075173, -0.000017178706739402516197);
    return fma(x * x2, q, x);
  }
}

// x limited to [low, high]; NaN stays NaN.
template <Real V>
TL_HD V within(V x, ElementOf<V> low, ElementOf<V> high) {
  const V above = select(x < low, lift<V>(low), x);
  return select(above > high, lift<V>(high), above);
}

// x = n log(2) + r; the last bits of `word` hold n + bias. If n is small, the low part of log(2)
// may be left out. In float this part is 2e-9 of log(2).
template <Real V>
struct Reduced {
  V r;
  bits::Word<V> word;
};
template <bool with_low_part = true, Real V>
TL_HD Reduced<V> reduce(V x, int bias) {
  using F = Format<ElementOf<V>>;
  const V round = lift<V>(F::round + static_cast<ElementOf<V>>(bias));
  const V shifted = fma(x, lift<V>(1.4426950408889634074), round);
  const V minus_n = round - shifted;
  V r = fma(minus_n, lift<V>(F::log2_high), x);  // exact, or rounded once without the low part
  if constexpr (with_low_part) r = fma(minus_n, lift<V>(F::log2_low), r);
  return {r, bits::from(shifted)};
}

// 2^k, where the last bits of `word` hold k + the format's bias.
template <Real V>
TL_HD V power_of_2(bits::Word<V> word) {
  return bits::to<V>(word << Format<ElementOf<V>>::exponent_at);
}

// Without an FMA instruction, every fma() of doubles is a call; then the C library is faster.
template <Real V>
inline constexpr bool kUseLibrary = sizeof(ElementOf<V>) == 8 && !kHasFma;

template <Real V, class Function>
TL_HD V by_library(V x, Function function) {
  if constexpr (kIsVec<V>) {
    return map_lanes(x, function);
  } else {
    return function(x);
  }
}

}  // namespace math

// e^x
template <Real V>
TL_HD V exp(V x) {
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

// The hyperbolic tangent.
template <Real V>
TL_HD V tanh(V x) {
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

// 1 / (1 + exp(-x))
template <Real V>
TL_HD V sigmoid(V x) {
  using T = ElementOf<V>;
  using F = math::Format<T>;
  if constexpr (math::kUseLibrary<V>) {
    return math::by_library(x, [](T lane) {
      const T e = std::exp(-std::fabs(lane));
      return (lane < 0 ? e : T{1}) / (1 + e);
    });
  } else {
    // Both sides of the fraction are scaled by 2^-shift, so that a denormal result is rounded once.
    const V z = math::within(-x, -F::sigmoid_one, -F::exp_low);
    const auto [r, word] = math::reduce(z, F::bias - F::sigmoid_shift);
    const V power = math::power_of_2<V>(word);
    const V one = lift<V>(1.0 / static_cast<double>(std::uint64_t{1} << (F::sigmoid_shift / 2)) /
                          static_cast<double>(std::uint64_t{1} << (F::sigmoid_shift / 2)));
    const V p = math::exp_minus_1_near_0(r);
    // power + one is exact, or its error is small compared with the result, except for powers near
    // 2^24 (float).
    const V near = fma(power, p, power + one);
    const V far_left = fma(power, p, one) + power;
    return one / select(z > 8, far_left, near);
  }
}

// --- functions of the C library, lane by lane ---

template <Real V>
TL_HD V log(V x) {
  return math::by_library(x, [](ElementOf<V> lane) { return std::log(lane); });
}
// log(1 + x)
template <Real V>
TL_HD V log1p(V x) {
  return math::by_library(x, [](ElementOf<V> lane) { return std::log1p(lane); });
}
// The sine of x in radians.
template <Real V>
TL_HD V sin(V x) {
  return math::by_library(x, [](ElementOf<V> lane) { return std::sin(lane); });
}
// The cosine of x in radians.
template <Real V>
TL_HD V cos(V x) {
  return math::by_library(x, [](ElementOf<V> lane) { return std::cos(lane); });
}
// The error function.
template <Real V>
TL_HD V erf(V x) {
  return math::by_library(x, [](ElementOf<V> lane) { return std::erf(lane); });
}

// log(1 + exp(x))
template <Real V>
TL_HD V softplus(V x) {
  return max(x, 0) + log1p(exp(-abs(x)));
}

// x^y. A scalar y of 2, the common case, costs one multiplication.
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
