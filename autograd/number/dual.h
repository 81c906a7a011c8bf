// SPDX-License-Identifier: MIT
// Dual: a number with its partial derivatives, and its arithmetic. Functions of duals are in
// dual_functions.h. The type carries the set of inputs as a bit mask, so a partial that is always
// zero is not stored. Revels et al. 2018, arXiv:1810.08297.
//
// In products of the chain rule an exact zero wins: 0 times infinity or NaN is 0. So the derivative
// of sqrt(relu(x)) at -1 is 0, although the slope of sqrt at 0 is infinite. Values follow IEEE 754:
// 0 times infinity is NaN.
#pragma once

#include <algorithm>
#include <bit>

#include "tapeloop/autograd/number/math.h"

namespace tapeloop {

// V: the number inside: a scalar, a SIMD register, or another Dual (for second derivatives).
// Inputs: bit i is set if the value depends on input i; there is one partial for each set bit.
// Exact: an exact zero wins in the chain rule. If false, the products are plain. That is faster,
// but a partial is NaN wherever the rule matters: a caller that finds a NaN must calculate again
// with Exact.
template <class V, unsigned Inputs, bool Exact = true>
struct Dual {
  V value;
  V partial[static_cast<std::size_t>(std::popcount(Inputs))];
};

template <class V, unsigned Inputs, bool Exact>
inline constexpr int kLevel<Dual<V, Inputs, Exact>> = 1 + kLevel<V>;

template <class T>
concept DualNumber = (kLevel<T> > 0);

namespace dual {

template <class T>
inline constexpr unsigned kInputs = 0;
template <class V, unsigned Inputs, bool Exact>
inline constexpr unsigned kInputs<Dual<V, Inputs, Exact>> = Inputs;

template <class T>
inline constexpr bool kExact = true;
template <class V, unsigned Inputs, bool Exact>
inline constexpr bool kExact<Dual<V, Inputs, Exact>> = Exact;

// The index in Dual::partial of the partial by input `bit` (a power of two).
constexpr int index_of(unsigned inputs, unsigned bit) { return std::popcount(inputs & (bit - 1)); }

// Converts `from` to To. To may have more inputs or a higher level; the added partials are zero.
template <class To>
struct As {
  template <class From>
  static TL_HD To convert(const From& from) {
    if constexpr (std::is_same_v<To, From>) {
      return from;
    } else if constexpr (kIsVec<To>) {
      return To::splat(static_cast<typename To::Element>(from));
    } else {
      return static_cast<To>(from);
    }
  }
};
template <class V, unsigned Inputs, bool Exact>
struct As<Dual<V, Inputs, Exact>> {
  using To = Dual<V, Inputs, Exact>;
  template <class From>
  static TL_HD To convert(const From& from) {
    if constexpr (std::is_same_v<To, From>) {
      return from;
    } else if constexpr (kLevel<From> < kLevel<To>) {
      return build(
          from, [](auto) { return 0.0; }, std::make_index_sequence<32>{});
    } else {
      static_assert((kInputs<From> & ~Inputs) == 0, "a partial would be lost");
      return build(
          from.value,
          [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
            if constexpr ((kInputs<From> & Bit) != 0) {
              return from.partial[index_of(kInputs<From>, Bit)];
            } else {
              return 0.0;
            }
          },
          std::make_index_sequence<32>{});
    }
  }
  template <class Value, class PartialOf, std::size_t... I>
  static TL_HD To build(const Value& value, PartialOf partial_of, std::index_sequence<I...>) {
    To result;
    result.value = As<V>::convert(value);
    (set<(1u << I)>(result, partial_of), ...);
    return result;
  }
  template <unsigned Bit, class PartialOf>
  static TL_HD void set(To& result, PartialOf partial_of) {
    if constexpr ((Inputs & Bit) != 0) {
      result.partial[index_of(Inputs, Bit)] =
          As<V>::convert(partial_of(std::integral_constant<unsigned, Bit>{}));
    }
  }
};

template <unsigned Inputs, bool Exact, class V, class PartialOf>
TL_HD Dual<V, Inputs, Exact> make(const V& value, PartialOf partial_of) {
  constexpr auto kBits = static_cast<std::size_t>(std::bit_width(Inputs));
  return As<Dual<V, Inputs, Exact>>::build(value, partial_of, std::make_index_sequence<kBits>{});
}

// The product of two derivatives in the chain rule.
template <bool Exact, class A, class B>
TL_HD auto product(const A& a, const B& b) {
  if constexpr (Exact) {
    return zero_safe_product(a, b);
  } else {
    return a * b;
  }
}

// f(x) with value `value` and derivative `slope`, by the chain rule.
template <class V, unsigned Inputs, bool Exact, class Slope>
TL_HD auto chain(const Dual<V, Inputs, Exact>& x, const V& value, const Slope& slope) {
  return make<Inputs, Exact>(value, [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
    return product<Exact>(x.partial[index_of(Inputs, Bit)], slope);
  });
}

// f(a, b) with value `value` and derivatives `by_a` and `by_b`; a and b have the same level.
template <class V, class A, class B, class SlopeA, class SlopeB>
TL_HD auto chain(const A& a, const B& b, const V& value, const SlopeA& by_a, const SlopeB& by_b) {
  constexpr unsigned kA = kInputs<A>;
  constexpr unsigned kB = kInputs<B>;
  constexpr bool kIsExact = kExact<A>;
  return make<kA | kB, kIsExact>(value, [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
    if constexpr ((kA & kB & Bit) != 0) {
      return product<kIsExact>(a.partial[index_of(kA, Bit)], by_a) +
             product<kIsExact>(b.partial[index_of(kB, Bit)], by_b);
    } else if constexpr ((kA & Bit) != 0) {
      return product<kIsExact>(a.partial[index_of(kA, Bit)], by_a);
    } else {
      return product<kIsExact>(b.partial[index_of(kB, Bit)], by_b);
    }
  });
}

// The innermost number, without derivatives. Comparisons use only this number.
template <class T>
TL_HD auto innermost(const T& x) {
  if constexpr (DualNumber<T>) {
    return innermost(x.value);
  } else {
    return x;
  }
}

}  // namespace dual

// The number of an input: it depends on this input alone, with derivative 1.
template <unsigned Bit, bool Exact = true, class V>
TL_HD Dual<V, Bit, Exact> seed(const V& value) {
  return {value, {dual::As<V>::convert(1.0)}};
}

template <class A, class B>
concept BothDual = DualNumber<A> && DualNumber<B> && SameLevel<A, B>;
template <class A, class B>  // a Dual, and a number that is a constant for it
concept DualAndLower = DualNumber<A> &&(kLevel<A> > kLevel<B>);

// --- arithmetic ---
template <class B, BothDual<B> A>
TL_HD auto operator+(const A& a, const B& b) {
  constexpr unsigned kA = dual::kInputs<A>;
  constexpr unsigned kB = dual::kInputs<B>;
  return dual::make<kA | kB, dual::kExact<A>>(
      a.value + b.value, [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
        if constexpr ((kA & kB & Bit) != 0) {
          return a.partial[dual::index_of(kA, Bit)] + b.partial[dual::index_of(kB, Bit)];
        } else if constexpr ((kA & Bit) != 0) {
          return a.partial[dual::index_of(kA, Bit)];
        } else {
          return b.partial[dual::index_of(kB, Bit)];
        }
      });
}
template <class V, unsigned Inputs, bool Exact>
TL_HD auto operator-(const Dual<V, Inputs, Exact>& x) {
  return dual::make<Inputs, Exact>(-x.value,
                                   [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
                                     return -x.partial[dual::index_of(Inputs, Bit)];
                                   });
}
template <class B, BothDual<B> A>
TL_HD auto operator-(const A& a, const B& b) {
  constexpr unsigned kA = dual::kInputs<A>;
  constexpr unsigned kB = dual::kInputs<B>;
  return dual::make<kA | kB, dual::kExact<A>>(
      a.value - b.value, [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
        if constexpr ((kA & kB & Bit) != 0) {
          return a.partial[dual::index_of(kA, Bit)] - b.partial[dual::index_of(kB, Bit)];
        } else if constexpr ((kA & Bit) != 0) {
          return a.partial[dual::index_of(kA, Bit)];
        } else {
          return -b.partial[dual::index_of(kB, Bit)];
        }
      });
}
template <class B, BothDual<B> A>
TL_HD auto operator*(const A& a, const B& b) {
  return dual::chain(a, b, a.value * b.value, b.value, a.value);
}
template <class B, BothDual<B> A>
TL_HD auto operator/(const A& a, const B& b) {
  // A division, not a product with 1 / b: for a tiny b, 1 / b is infinite.
  auto quotient = a.value / b.value;
  return dual::chain(a, b, quotient, 1.0 / b.value, -(quotient / b.value));
}

namespace dual {
// A new value with the partials of x, as in x + constant.
template <class Value, class V, unsigned Inputs, bool Exact>
TL_HD auto shifted(const Value& value, const Dual<V, Inputs, Exact>& x) {
  return make<Inputs, Exact>(value, [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
    return x.partial[index_of(Inputs, Bit)];
  });
}
}  // namespace dual

template <class B, DualAndLower<B> A>
TL_HD auto operator+(const A& a, const B& b) {
  return dual::shifted(a.value + b, a);
}
template <class A, DualAndLower<A> B>
TL_HD auto operator+(const A& a, const B& b) {
  return dual::shifted(a + b.value, b);
}
template <class B, DualAndLower<B> A>
TL_HD auto operator-(const A& a, const B& b) {
  return dual::shifted(a.value - b, a);
}
template <class A, DualAndLower<A> B>
TL_HD auto operator-(const A& a, const B& b) {
  return dual::shifted(a - b.value, -b);
}
template <class B, DualAndLower<B> A>
TL_HD auto operator*(const A& a, const B& b) {
  return dual::chain(a, a.value * b, b);
}
template <class A, DualAndLower<A> B>
TL_HD auto operator*(const A& a, const B& b) {
  return b * a;
}
// The derivative is 1 / b, rounded. So dx = dy * (1 / b), as for two Vars, and not dy / b.
template <class B, DualAndLower<B> A>
TL_HD auto operator/(const A& a, const B& b) {
  auto inverse = 1.0 / dual::As<decltype(dual::innermost(a))>::convert(b);
  return dual::chain(a, a.value / b, inverse);
}
template <class A, DualAndLower<A> B>
TL_HD auto operator/(const A& a, const B& b) {
  auto quotient = a / b.value;
  return dual::chain(b, quotient, -(quotient / b.value));
}

template <class B, BothDual<B> A>
TL_HD auto zero_safe_product(const A& a, const B& b) {
  return dual::chain(a, b, zero_safe_product(a.value, b.value), b.value, a.value);
}
template <class B, DualAndLower<B> A>
TL_HD auto zero_safe_product(const A& a, const B& b) {
  return dual::chain(a, zero_safe_product(a.value, b), b);
}
template <class A, DualAndLower<A> B>
TL_HD auto zero_safe_product(const A& a, const B& b) {
  return zero_safe_product(b, a);
}

// --- comparisons and choice: by value; select() takes the derivative of the chosen branch ---
template <class A, class B>
concept AnyDual = DualNumber<A> || DualNumber<B>;
template <class B, AnyDual<B> A>
TL_HD auto operator<(const A& a, const B& b) {
  return dual::innermost(a) < dual::innermost(b);
}
template <class B, AnyDual<B> A>
TL_HD auto operator>(const A& a, const B& b) {
  return dual::innermost(a) > dual::innermost(b);
}
template <class B, AnyDual<B> A>
TL_HD auto operator<=(const A& a, const B& b) {
  return dual::innermost(a) <= dual::innermost(b);
}
template <class B, AnyDual<B> A>
TL_HD auto operator>=(const A& a, const B& b) {
  return dual::innermost(a) >= dual::innermost(b);
}
template <class B, AnyDual<B> A>
TL_HD auto operator==(const A& a, const B& b) {
  return dual::innermost(a) == dual::innermost(b);
}

template <class M, class B, BothDual<B> A>
TL_HD auto select(const M& mask, const A& a, const B& b) {
  constexpr unsigned kAll = dual::kInputs<A> | dual::kInputs<B>;
  using V = decltype(a.value + b.value);  // depends on the inputs of both
  using D = Dual<V, kAll, dual::kExact<A>>;
  D x = dual::As<D>::convert(a);
  D y = dual::As<D>::convert(b);
  return dual::make<kAll, dual::kExact<A>>(
      select(mask, x.value, y.value), [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
        constexpr int kAt = dual::index_of(kAll, Bit);
        return select(mask, x.partial[kAt], y.partial[kAt]);
      });
}
template <class M, class B, DualAndLower<B> A>
TL_HD auto select(const M& mask, const A& a, const B& b) {
  return select(mask, a, dual::As<A>::convert(b));
}
template <class M, class A, DualAndLower<A> B>
TL_HD auto select(const M& mask, const A& a, const B& b) {
  return select(mask, dual::As<B>::convert(a), b);
}

}  // namespace tapeloop
