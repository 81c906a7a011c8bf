// SPDX-License-Identifier: MIT
// Parts of the functions of functions.h that are calculated here and not by the C library:
// polynomials, and powers of 2. One algorithm serves scalars and registers.
#pragma once

#include <cstdint>
#include <type_traits>

#include "tapeloop/autograd/number/exact_math.h"

namespace tapeloop {

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
  static constexpr float half_pi_high = 0x1.921fb6p0f;
  static constexpr float half_pi_low = -0x1.777a5cp-25f;
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
  static constexpr double half_pi_high = 0x1.921fb54442d18p0;
  static constexpr double half_pi_low = 0x1.1a62633145c07p-54;
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

// c0 + c1 x + c2 x^2 + ... by Horner's rule. For polynomials whose even and odd terms would cancel.
template <Real V>
TL_HD V horner(V, ElementOf<V> c0) {
  return lift<V>(c0);
}
template <Real V, class... More>
TL_HD V horner(V x, ElementOf<V> c0, More... higher) {
  return fma(horner(x, higher...), x, lift<V>(c0));
}

// (atan(x) - x) / x^3 for 0 <= x <= 1, of x^2.
template <Real V>
TL_HD V atan_tail(V x2) {
  if constexpr (sizeof(ElementOf<V>) == 4) {
    return horner(x2, -0.333332986f, 0.199985489f, -0.142642424f, 0.109521858f, -0.08403451f,
                  0.0579576045f, -0.0311778579f, 0.0109146126f, -0.00179362309f);
  } else {
    return horner(x2, -0.33333333333333070581, 0.19999999999951459384, -0.14285714282575115441,
                  0.11111111007026371056, -0.090909070029955796333, 0.076922798393421781826,
                  -0.066664040579801644992, 0.058805278170940070148, -0.052535185647122104036,
                  0.047223222606863186901, -0.04219179081586831026, 0.036641913708310984432,
                  -0.029903863290566063543, 0.021984859730690285012, -0.013900566607116290885,
                  0.0071965081932375205009, -0.0028849212467229050534, 0.00083132291101953141328,
                  -0.00015216111255003151887, 1.3225101971614676002e-05);
  }
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

}  // namespace tapeloop
