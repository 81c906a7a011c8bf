// SPDX-License-Identifier: MIT
// Operations on numbers that round at most once: access to bits, choice and bounds, products.
// Functions of one argument (exp, tanh, ...) are in functions.h.
#pragma once

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

// The magnitude of x with the sign of y.
template <RealOrScalar A, RealOrScalar B>
TL_HD Joined<A, B> copysign(A x, B y) {
  using V = Joined<A, B>;
  return bits::to<V>((bits::from(lift<V>(x)) & ~bits::kSign<V>) |
                     (bits::from(lift<V>(y)) & bits::kSign<V>));
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

}  // namespace tapeloop
