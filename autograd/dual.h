// SPDX-License-Identifier: MIT
// Dual: a number with its partial derivatives by the inputs it depends on, and every function of math.h on it.
// The type carries the set of inputs (a bit mask), so a partial that is zero does not exist. Wraps a SIMD register,
// a scalar, or another Dual (for second derivatives). Revels et al. 2018, arXiv:1810.08297.
#pragma once

#include <algorithm>
#include <bit>

#include "autograd/math.h"

namespace tapeloop {

// V: the number inside. Inputs: bit i is set where the value depends on input i; one partial for each bit set.
template <class V, unsigned Inputs>
struct Dual {
  V value;
  V partial[static_cast<std::size_t>(std::popcount(Inputs))];
};

template <class V, unsigned Inputs>
inline constexpr int kLevel<Dual<V, Inputs>> = 1 + kLevel<V>;

template <class T>
concept DualNumber = (kLevel<T> > 0);

namespace dual {

template <class T>
inline constexpr unsigned kInputs = 0;
template <class V, unsigned Inputs>
inline constexpr unsigned kInputs<Dual<V, Inputs>> = Inputs;

// Where the partial by input `bit` (a power of two) is kept among those of `inputs`.
constexpr int index_of(unsigned inputs, unsigned bit) { return std::popcount(inputs & (bit - 1)); }

// The number `from` as type To, which may depend on more inputs or be of a higher level: what is new is zero.
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
template <class V, unsigned Inputs>
struct As<Dual<V, Inputs>> {
  using To = Dual<V, Inputs>;
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

template <unsigned Inputs, class V, class PartialOf>
TL_HD Dual<V, Inputs> make(const V& value, PartialOf partial_of) {
  constexpr auto kBits = static_cast<std::size_t>(std::bit_width(Inputs));
  return As<Dual<V, Inputs>>::build(value, partial_of, std::make_index_sequence<kBits>{});
}

// f(x) with value `value` and derivative `slope`, by the chain rule.
template <class V, unsigned Inputs, class Slope>
TL_HD auto chain(const Dual<V, Inputs>& x, const V& value, const Slope& slope) {
  return make<Inputs>(value, [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
    return x.partial[index_of(Inputs, Bit)] * slope;
  });
}

// f(a, b) with value `value` and derivatives `by_a` and `by_b`; a and b at one level.
template <class V, class A, class B, class SlopeA, class SlopeB>
TL_HD auto chain(const A& a, const B& b, const V& value, const SlopeA& by_a, const SlopeB& by_b) {
  constexpr unsigned kA = kInputs<A>;
  constexpr unsigned kB = kInputs<B>;
  return make<kA | kB>(value, [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
    if constexpr ((kA & kB & Bit) != 0) {
      return a.partial[index_of(kA, Bit)] * by_a + b.partial[index_of(kB, Bit)] * by_b;
    } else if constexpr ((kA & Bit) != 0) {
      return a.partial[index_of(kA, Bit)] * by_a;
    } else {
      return b.partial[index_of(kB, Bit)] * by_b;
    }
  });
}

// The innermost number, without any derivative: comparisons look at nothing else.
template <class T>
TL_HD auto innermost(const T& x) {
  if constexpr (DualNumber<T>) {
    return innermost(x.value);
  } else {
    return x;
  }
}

}  // namespace dual

// An input's own number: it depends on itself alone, with derivative one.
template <unsigned Bit, class V>
TL_HD Dual<V, Bit> seed(const V& value) {
  return {value, {dual::As<V>::convert(1.0)}};
}

template <class A, class B>
concept BothDual = DualNumber<A> && DualNumber<B> && SameLevel<A, B>;
template <class A, class B>  // a Dual, and something that is a constant to it
concept DualAndLower = DualNumber<A> &&(kLevel<A> > kLevel<B>);

// --- arithmetic ---
template <class B, BothDual<B> A>
TL_HD auto operator+(const A& a, const B& b) {
  constexpr unsigned kA = dual::kInputs<A>;
  constexpr unsigned kB = dual::kInputs<B>;
  return dual::make<kA | kB>(
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
template <class V, unsigned Inputs>
TL_HD auto operator-(const Dual<V, Inputs>& x) {
  return dual::make<Inputs>(-x.value, [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
    return -x.partial[dual::index_of(Inputs, Bit)];
  });
}
template <class B, BothDual<B> A>
TL_HD auto operator-(const A& a, const B& b) {
  constexpr unsigned kA = dual::kInputs<A>;
  constexpr unsigned kB = dual::kInputs<B>;
  return dual::make<kA | kB>(
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
  auto inverse = 1.0 / b.value;
  auto quotient = a.value * inverse;
  return dual::chain(a, b, quotient, inverse, -(quotient * inverse));
}

namespace dual {
// The partials of x unchanged, around a new value: x + constant and the like.
template <class Value, class V, unsigned Inputs>
TL_HD auto shifted(const Value& value, const Dual<V, Inputs>& x) {
  return make<Inputs>(value, [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
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

// --- comparisons and choice: by value; the derivative is that of the branch taken ---
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
  using V = decltype(a.value + b.value);  // depends on what either depends on
  using D = Dual<V, kAll>;
  D x = dual::As<D>::convert(a);
  D y = dual::As<D>::convert(b);
  return dual::make<kAll>(select(mask, x.value, y.value),
                          [&]<unsigned Bit>(std::integral_constant<unsigned, Bit>) {
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

// --- functions: value and derivative ---
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
// sign and floor are flat: no derivative anywhere.
template <DualNumber A>
TL_HD auto sign(const A& x) {
  return sign(dual::innermost(x));
}
template <DualNumber A>
TL_HD auto floor(const A& x) {
  return floor(dual::innermost(x));
}
// max and min: where both are equal, each gets half (PyTorch's rule).
template <class B, AnyDual<B> A>
TL_HD auto max(const A& a, const B& b) {
  return select(a > b, a, select(b > a, b, 0.5 * (a + b)));
}
template <class B, AnyDual<B> A>
TL_HD auto min(const A& a, const B& b) {
  return select(a < b, a, select(b < a, b, 0.5 * (a + b)));
}
// clamp: derivative 1 within and on the bounds, 0 outside (PyTorch's rule).
template <DualNumber A>
TL_HD auto clamp(const A& x, double low, double high) {
  return select(x < low, low, select(x > high, high, x));
}
// pow with a constant exponent: n x^(n-1), 0 for n = 0 also at x = 0; with a constant or varying base: x^y log(x), 0
// where x = 0.
namespace dual {
template <class X, class N>
TL_HD auto power_slope(const X& x, const N& n) {
  return n * pow(x, select(n == 0.0, n * 0.0 + 1.0, n - 1.0));
}
}  // namespace dual
template <class B, DualAndLower<B> A>
TL_HD auto pow(const A& x, const B& n) {
  auto value = pow(x.value, n);
  return dual::chain(x, value, dual::power_slope(x.value, n));
}
namespace dual {
template <class X, class Y>
TL_HD auto log_of_base(const X& x, const Y& value) {
  auto zero = value * 0.0;
  return select(x == 0.0, zero, value * log(select(x == 0.0, x * 0.0 + 1.0, x)));
}
}  // namespace dual
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
