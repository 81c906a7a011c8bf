// SPDX-License-Identifier: MIT
// Vec: one SIMD register of float or double, with the operators of a number. Mask: the result of a
// comparison of two Vecs. Functions such as exp are in functions.h.
// Built on the compilers' vector types, so any width compiles on any machine. nvcc has no such
// types: there a Vec is one number, Vec<T, isa::Lane>, with the same operators and conversions.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tapeloop/autograd/number/isa.h"
#include "tapeloop/autograd/number/number.h"

// Only for fma, the square root and any_nan(): for some widths, compilers do not vectorize a loop
// over the lanes.
#if defined(__SSE2__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

namespace tapeloop {

// True if a fused multiply-add is one instruction here. If false, fma() gives the same results, but
// slowly.
// Not inline, because files of one program may be compiled for different instruction sets.
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__CUDA_ARCH__)
constexpr bool kHasFma = true;
#else
constexpr bool kHasFma = false;
#endif

template <class T, class Isa>
struct Mask;
template <class T, class Isa>
struct Vec;

template <class T>
inline constexpr bool kIsVec = false;
template <class T, class Isa>
inline constexpr bool kIsVec<Vec<T, Isa>> = true;

// A number without derivatives: float, double or a register of them.
template <class T>
concept Real = std::is_same_v<T, float> || std::is_same_v<T, double> || kIsVec<T>;
template <class T>
concept RealOrScalar = Real<T> || Scalar<T>;

template <class V>
struct ElementOfReal {
  using Type = V;
};
template <class T, class Isa>
struct ElementOfReal<Vec<T, Isa>> {
  using Type = T;
};
template <class V>
using ElementOf = typename ElementOfReal<V>::Type;

// Converts x to V. If V is narrower than A, x is rounded, as a literal would be.
template <Real V, RealOrScalar A>
TL_HD V lift(A x) {
  if constexpr (std::is_same_v<V, A>) {
    return x;
  } else if constexpr (kIsVec<V>) {
    return V::of(x);
  } else {
    return static_cast<V>(x);
  }
}

// The type in which a function of an A and a B computes: the register if there is one, else the
// narrower of two floating-point types. So a double literal beside a float acts as it does beside a
// register of floats.
template <class A, class B>
struct JoinedReal {};
template <Real A, Scalar B>
requires(!Scalar<A> || !std::is_floating_point_v<B> ||
         sizeof(A) <= sizeof(B)) struct JoinedReal<A, B> {
  using Type = A;
};
template <Scalar A, Real B>
requires(!Scalar<B> || !std::is_floating_point_v<A> ||
         sizeof(B) < sizeof(A)) struct JoinedReal<A, B> {
  using Type = B;
};
template <Real V>
requires(!Scalar<V>) struct JoinedReal<V, V> {
  using Type = V;
};
template <RealOrScalar A, RealOrScalar B>
using Joined = typename JoinedReal<A, B>::Type;

// `if_true` where the mask is set, else `if_false`; both are evaluated.
template <Scalar T>
TL_HD T select(bool mask, T if_true, T if_false) {
  return mask ? if_true : if_false;
}
template <Scalar A, Scalar B>
TL_HD Joined<A, B> select(bool mask, A if_true, B if_false) {
  return mask ? static_cast<Joined<A, B>>(if_true) : static_cast<Joined<A, B>>(if_false);
}

// a * b + c, rounded once.
TL_HD float fma_in_double(float a, float b, float c) {
  // The product is exact in double. If the sum is inexact, it is rounded to odd (last bit 1), so
  // that it is never a false tie when it is rounded to float.
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = static_cast<double>(c);
  double sum = product + addend;
  const double addend_in_sum = sum - product;
  const double error = (product - (sum - addend_in_sum)) + (addend - addend_in_sum);
  std::uint64_t word = __builtin_bit_cast(std::uint64_t, sum);
  const bool inexact = error > 0 || error < 0;  // false for a NaN, which comes from an infinite sum
  const std::uint64_t odd = word & 1u;
  const std::uint64_t step = ((error > 0) == (sum > 0)) ? 1u : ~std::uint64_t{0};
  word += inexact && odd == 0 ? step : 0u;
  sum = __builtin_bit_cast(double, word);
  return static_cast<float>(sum);
}
template <class T>
requires std::is_floating_point_v<T> TL_HD T fma(T a, T b, T c) {
  if constexpr (sizeof(T) == 8) {
    return __builtin_fma(a, b, c);
  } else if constexpr (kHasFma) {
    return __builtin_fmaf(a, b, c);
  } else {
    return fma_in_double(a, b, c);
  }
}

template <class T>
using IntegerOf = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

// The raw types of a register and of a mask.
template <class T, class Isa>
struct Lanes;
template <class T>
struct Lanes<T, isa::Lane> {
  using Raw = T;
  using Bits = bool;
  static constexpr int width = 1;
};
#if !defined(__CUDACC__)
template <class T, class Isa>
struct Lanes {
  using Raw [[gnu::vector_size(Isa::vector_bytes)]] = T;
  using Bits [[gnu::vector_size(Isa::vector_bytes)]] = IntegerOf<T>;
  static constexpr int width = Isa::vector_bytes / static_cast<int>(sizeof(T));
};
#endif
template <class Isa>
inline constexpr bool kIsLane = std::is_same_v<Isa, isa::Lane>;

template <class T, class Isa>
struct Mask {
  using Raw = typename Lanes<T, Isa>::Bits;
  Raw raw;  // every bit of a lane set: true

  friend TL_HD Mask operator&(Mask a, Mask b) { return {(Raw)(a.raw & b.raw)}; }
  friend TL_HD Mask operator|(Mask a, Mask b) { return {(Raw)(a.raw | b.raw)}; }
  friend TL_HD Mask operator!(Mask a) { return {(Raw)(a.raw == Raw{})}; }
};

template <class T, class Isa>
struct Vec {
  using Element = T;
  using Raw = typename Lanes<T, Isa>::Raw;
  using Bits = typename Mask<T, Isa>::Raw;
  static constexpr int width = Lanes<T, Isa>::width;
  Raw raw;

  static TL_HD Vec load(const T* from) {
    Vec result;
    std::memcpy(&result.raw, from, sizeof(Raw));
    return result;
  }
  // x - 0 is x, also for -0.0, infinities and NaN.
  static TL_HD Vec splat(T x) { return {x - Raw{}}; }
  template <Scalar S>
  static TL_HD Vec of(S x) {  // any scalar, converted to the element type
    return splat(static_cast<T>(x));
  }
  TL_HD void store(T* to) const { std::memcpy(to, &raw, sizeof(Raw)); }

  friend TL_HD Vec operator+(Vec a, Vec b) { return {a.raw + b.raw}; }
  friend TL_HD Vec operator-(Vec a, Vec b) { return {a.raw - b.raw}; }
  friend TL_HD Vec operator*(Vec a, Vec b) { return {a.raw * b.raw}; }
  friend TL_HD Vec operator/(Vec a, Vec b) { return {a.raw / b.raw}; }
  friend TL_HD Vec operator-(Vec a) { return {-a.raw}; }
  friend TL_HD Mask<T, Isa> operator<(Vec a, Vec b) { return {(Bits)(a.raw < b.raw)}; }
  friend TL_HD Mask<T, Isa> operator>(Vec a, Vec b) { return {(Bits)(a.raw > b.raw)}; }
  friend TL_HD Mask<T, Isa> operator<=(Vec a, Vec b) { return {(Bits)(a.raw <= b.raw)}; }
  friend TL_HD Mask<T, Isa> operator>=(Vec a, Vec b) { return {(Bits)(a.raw >= b.raw)}; }
  friend TL_HD Mask<T, Isa> operator==(Vec a, Vec b) { return {(Bits)(a.raw == b.raw)}; }
  friend TL_HD Mask<T, Isa> operator!=(Vec a, Vec b) { return {(Bits)(a.raw != b.raw)}; }

  TL_HD Vec& operator+=(Vec b) { return *this = *this + b; }
  TL_HD Vec& operator-=(Vec b) { return *this = *this - b; }
  TL_HD Vec& operator*=(Vec b) { return *this = *this * b; }
  TL_HD Vec& operator/=(Vec b) { return *this = *this / b; }

  // A scalar on one side, as in x * 0.5, 1 - x, x < 0, is converted to the element type.
  template <Scalar S>
  friend TL_HD Vec operator+(Vec a, S b) {
    return a + of(b);
  }
  template <Scalar S>
  friend TL_HD Vec operator+(S a, Vec b) {
    return of(a) + b;
  }
  template <Scalar S>
  friend TL_HD Vec operator-(Vec a, S b) {
    return a - of(b);
  }
  template <Scalar S>
  friend TL_HD Vec operator-(S a, Vec b) {
    return of(a) - b;
  }
  template <Scalar S>
  friend TL_HD Vec operator*(Vec a, S b) {
    return a * of(b);
  }
  template <Scalar S>
  friend TL_HD Vec operator*(S a, Vec b) {
    return of(a) * b;
  }
  template <Scalar S>
  friend TL_HD Vec operator/(Vec a, S b) {
    return a / of(b);
  }
  template <Scalar S>
  friend TL_HD Vec operator/(S a, Vec b) {
    return of(a) / b;
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator<(Vec a, S b) {
    return a < of(b);
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator<(S a, Vec b) {
    return of(a) < b;
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator>(Vec a, S b) {
    return a > of(b);
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator>(S a, Vec b) {
    return of(a) > b;
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator<=(Vec a, S b) {
    return a <= of(b);
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator<=(S a, Vec b) {
    return of(a) <= b;
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator>=(Vec a, S b) {
    return a >= of(b);
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator>=(S a, Vec b) {
    return of(a) >= b;
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator==(Vec a, S b) {
    return a == of(b);
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator==(S a, Vec b) {
    return of(a) == b;
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator!=(Vec a, S b) {
    return a != of(b);
  }
  template <Scalar S>
  friend TL_HD Mask<T, Isa> operator!=(S a, Vec b) {
    return of(a) != b;
  }
};

template <class T, class Isa>
TL_HD Vec<T, Isa> select(Mask<T, Isa> mask, Vec<T, Isa> if_true, Vec<T, Isa> if_false) {
  return {mask.raw ? if_true.raw : if_false.raw};
}
template <class T, class Isa, RealOrScalar A, RealOrScalar B>
TL_HD Vec<T, Isa> select(Mask<T, Isa> mask, A if_true, B if_false) {
  return select(mask, lift<Vec<T, Isa>>(if_true), lift<Vec<T, Isa>>(if_false));
}
// A function of scalars applied lane by lane; compilers turn simple ones into one instruction.
template <class T, class Isa, class Function>
TL_HD Vec<T, Isa> map_lanes(Vec<T, Isa> x, Function function) {
  if constexpr (kIsLane<Isa>) {
    return {function(x.raw)};
  } else {
    Vec<T, Isa> result;
    for (int lane = 0; lane < Vec<T, Isa>::width; ++lane) {
      result.raw[lane] = function(static_cast<T>(x.raw[lane]));
    }
    return result;
  }
}

template <class T, class Isa>
TL_HD Vec<T, Isa> square_root(Vec<T, Isa> x) {
  constexpr bool kFloat = sizeof(T) == 4;
  [[maybe_unused]] constexpr int kBytes = sizeof(x.raw);
#if defined(__SSE2__) && !defined(__CUDACC__)
  if constexpr (kBytes == 16 && kFloat) return {_mm_sqrt_ps(x.raw)};
  if constexpr (kBytes == 16 && !kFloat) return {_mm_sqrt_pd(x.raw)};
#if defined(__AVX__)
  if constexpr (kBytes == 32 && kFloat) return {_mm256_sqrt_ps(x.raw)};
  if constexpr (kBytes == 32 && !kFloat) return {_mm256_sqrt_pd(x.raw)};
#endif
#if defined(__AVX512F__)  // with a full mask: g++ 12 warns about the plain form
  if constexpr (kBytes == 64 && kFloat) return {_mm512_maskz_sqrt_ps(0xffff, x.raw)};
  if constexpr (kBytes == 64 && !kFloat) return {_mm512_maskz_sqrt_pd(0xff, x.raw)};
#endif
#endif
  return map_lanes(x, [](T lane) {
    if constexpr (kFloat) {
      return __builtin_sqrtf(lane);
    } else {
      return __builtin_sqrt(lane);
    }
  });
}

template <class T, class Isa>
TL_HD Vec<T, Isa> fma(Vec<T, Isa> a, Vec<T, Isa> b, Vec<T, Isa> c) {
  if constexpr (kIsLane<Isa>) {
    return {fma(a.raw, b.raw, c.raw)};
  } else {
    [[maybe_unused]] constexpr bool kFloat = sizeof(T) == 4;
    [[maybe_unused]] constexpr int kBytes = sizeof(a.raw);
#if defined(__FMA__) && !defined(__CUDACC__)
    if constexpr (kBytes == 16 && kFloat) return {_mm_fmadd_ps(a.raw, b.raw, c.raw)};
    if constexpr (kBytes == 16 && !kFloat) return {_mm_fmadd_pd(a.raw, b.raw, c.raw)};
    if constexpr (kBytes == 32 && kFloat) return {_mm256_fmadd_ps(a.raw, b.raw, c.raw)};
    if constexpr (kBytes == 32 && !kFloat) return {_mm256_fmadd_pd(a.raw, b.raw, c.raw)};
#if defined(__AVX512F__)
    if constexpr (kBytes == 64 && kFloat) return {_mm512_fmadd_ps(a.raw, b.raw, c.raw)};
    if constexpr (kBytes == 64 && !kFloat) return {_mm512_fmadd_pd(a.raw, b.raw, c.raw)};
#endif
#endif
    Vec<T, Isa> result;
    for (int lane = 0; lane < Vec<T, Isa>::width; ++lane) {
      result.raw[lane] = fma(static_cast<T>(a.raw[lane]), static_cast<T>(b.raw[lane]),
                             static_cast<T>(c.raw[lane]));
    }
    return result;
  }
}

template <class T, class Isa>
TL_HD bool any_nan(Vec<T, Isa> x) {
  [[maybe_unused]] constexpr bool kFloat = sizeof(T) == 4;
  [[maybe_unused]] constexpr int kBytes = sizeof(x.raw);
#if defined(__SSE2__) && !defined(__CUDACC__)
  if constexpr (kBytes == 16 && kFloat) return _mm_movemask_ps(_mm_cmpunord_ps(x.raw, x.raw)) != 0;
  if constexpr (kBytes == 16 && !kFloat) return _mm_movemask_pd(_mm_cmpunord_pd(x.raw, x.raw)) != 0;
#if defined(__AVX__)
  if constexpr (kBytes == 32 && kFloat) {
    return _mm256_movemask_ps(_mm256_cmp_ps(x.raw, x.raw, _CMP_UNORD_Q)) != 0;
  }
  if constexpr (kBytes == 32 && !kFloat) {
    return _mm256_movemask_pd(_mm256_cmp_pd(x.raw, x.raw, _CMP_UNORD_Q)) != 0;
  }
#endif
#if defined(__AVX512F__)
  if constexpr (kBytes == 64 && kFloat) return _mm512_cmp_ps_mask(x.raw, x.raw, _CMP_UNORD_Q) != 0;
  if constexpr (kBytes == 64 && !kFloat) return _mm512_cmp_pd_mask(x.raw, x.raw, _CMP_UNORD_Q) != 0;
#endif
#endif
  const Mask<T, Isa> nan = x != x;
  if constexpr (kIsLane<Isa>) {
    return nan.raw;
  } else {
    bool any = false;
    for (int lane = 0; lane < Vec<T, Isa>::width; ++lane) any = any || nan.raw[lane] != 0;
    return any;
  }
}

template <class T, class Isa>
TL_HD T sum_lanes(Vec<T, Isa> x) {  // pairwise, so the order does not depend on the compiler
  T lanes[Vec<T, Isa>::width];
  x.store(lanes);
  for (int step = Vec<T, Isa>::width / 2; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) lanes[i] += lanes[i + step];
  }
  return lanes[0];
}

}  // namespace tapeloop
