// SPDX-License-Identifier: MIT
// Elementwise functions that round at most once: access to bits, choice and bounds, products, the
// square root. math.h has the functions with an error of their own (exp, tanh, ...).
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "tapeloop/autograd/number/vec.h"

namespace tapeloop {

// Conversion between a number and its bits as an unsigned integer.
namespace bits {

template <Real V>
struct WordOf {
  using Type = std::conditional_t<sizeof(V) == 4, std::uint32_t, std::uint64_t>;
};
template <class T>
struct WordOf<Vec<T, isa::Lane>> {
  using Type = typename WordOf<T>::Type;
};
#if !defined(__CUDACC__)
template <class T, class Isa>
struct WordOf<Vec<T, Isa>> {
  using Type [[gnu::vector_size(Isa::vector_bytes)]] = typename WordOf<T>::Type;
};
#endif
template <Real V>
using Word = typename WordOf<V>::Type;

template <Real V>
TL_HD Word<V> from(V x) {
  return __builtin_bit_cast(Word<V>, x);
}
template <Real V>
TL_HD V to(Word<V> word) {
  return __builtin_bit_cast(V, word);
}

template <Real V>
inline constexpr auto kSign = Word<ElementOf<V>>{1} << (8 * sizeof(ElementOf<V>) - 1);

}  // namespace bits

template <Real V>
TL_HD V abs(V x) {
  return bits::to<V>(bits::from(x) & ~bits::kSign<V>);
}

// The magnitude of x with the sign of y.
template <RealOrScalar A, RealOrScalar B>
TL_HD Joined<A, B> copysign(A x, B y) {
  using V = Joined<A, B>;
  return bits::to<V>((bits::from(lift<V>(x)) & ~bits::kSign<V>) |
                     (bits::from(lift<V>(y)) & bits::kSign<V>));
}

// -1, 0 or 1; NaN for NaN.
template <Real V>
TL_HD V sign(V x) {
  return select(x > 0, lift<V>(1), select(x < 0, lift<V>(-1), x));
}

template <Real V>
TL_HD V square(V x) {
  return x * x;
}

// a b, or 0 if either one is 0, even if the other one is infinite or NaN. For products of
// derivatives: a zero partial or a zero upstream gradient ends the chain rule.
template <RealOrScalar A, RealOrScalar B>
TL_HD Joined<A, B> zero_safe_product(A a, B b) {
  using V = Joined<A, B>;
  const V x = lift<V>(a);
  const V y = lift<V>(b);
  return select((x == 0) | (y == 0), lift<V>(0), x * y);
}

// The largest integer not above x.
template <Real V>
TL_HD V floor(V x) {
  // From 2^23 (float) or 2^52 (double) on, every number is an integer. Below, x + that number is
  // rounded to an integer.
  const V size = abs(x);
  const V large = lift<V>(sizeof(ElementOf<V>) == 4 ? 0x1p23 : 0x1p52);
  const V nearest = copysign((size + large) - large, x);
  const V below = select(nearest > x, nearest - 1, nearest);
  return select(size < large, copysign(below, x), x);
}

// The larger or smaller of two; NaN if either is NaN.
template <RealOrScalar A, RealOrScalar B>
TL_HD Joined<A, B> max(A a, B b) {
  using V = Joined<A, B>;
  const V x = lift<V>(a);
  const V y = lift<V>(b);
  return select((x > y) | (x != x), x, y);
}
template <RealOrScalar A, RealOrScalar B>
TL_HD Joined<A, B> min(A a, B b) {
  using V = Joined<A, B>;
  const V x = lift<V>(a);
  const V y = lift<V>(b);
  return select((x < y) | (x != x), x, y);
}

// x limited to [low, high]; high if low > high; NaN if any of the three is NaN.
template <Real V, RealOrScalar A, RealOrScalar B>
TL_HD V clamp(V x, A low, B high) {
  return min(max(x, lift<V>(low)), lift<V>(high));
}

template <class T>
requires std::is_floating_point_v<T> TL_HD T sqrt(T x) { return std::sqrt(x); }

}  // namespace tapeloop
