// SPDX-License-Identifier: MIT
// Basics of formulas: TL_HD, outputs(...) for several results, levels of numbers, lists of types.
// Uses no containers and no text, because g++, clang and nvcc compile the formula pages.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

// Marks every function of a formula page: always inlined; nvcc compiles it for the GPU too.
#if defined(__CUDACC__)
#define TL_HD __host__ __device__ __forceinline__
#else
#define TL_HD __attribute__((always_inline)) inline
#endif

namespace tapeloop {

template <class T>
concept Scalar = std::is_arithmetic_v<T>;

// How many times a number is wrapped for differentiation: 0 for a scalar or a SIMD register, plus 1
// for each Dual around it. A number of a lower level is a constant for one of a higher level.
template <class T>
inline constexpr int kLevel = 0;

// Specialized for every other kind of number that the functions of functions.h take.
template <class T>
inline constexpr bool kIsNumber = kLevel<T> > 0;

template <class A, class B>
concept SameLevel = kLevel<A>
== kLevel<B>;

// A list of types.
template <class... T>
struct TypeList {
  static constexpr std::size_t size = sizeof...(T);  // how many
  template <class U>
  static constexpr bool contains = (std::is_same_v<T, U> || ...);  // U is in the list
  // The position of U; `size` if it is not in the list.
  template <class U>
  static constexpr std::size_t index_of() {
    std::size_t index = 0;
    static_cast<void>(((std::is_same_v<T, U> ? true : (++index, false)) || ...));
    return index;
  }
  // The list with more types at its end.
  template <class... More>
  using With = TypeList<T..., More...>;
};

// Result I of a formula.
template <std::size_t I, class T>
struct Output {
  T value;  // a number of any type
};

// All results of a formula.
template <class Indices, class... Ts>
struct OutputPack;

// All results of a formula, one base class for each.
template <std::size_t... I, class... Ts>
struct OutputPack<std::index_sequence<I...>, Ts...> : Output<I, Ts>... {
  static constexpr std::size_t size = sizeof...(Ts);  // how many
};

// The pack of results of these types.
template <class... Ts>
using Outputs = OutputPack<std::index_sequence_for<Ts...>, Ts...>;

// The results of a formula with several of them: `return outputs(h, c);`
template <class... Ts>
TL_HD constexpr Outputs<Ts...> outputs(Ts... results) {
  return Outputs<Ts...>{{results}...};
}

// Result I of a pack.
template <std::size_t I, class T>
TL_HD constexpr const T& output(const Output<I, T>& pack) {
  return pack.value;
}

// Whether T is a pack of results.
template <class T>
inline constexpr bool kIsOutputs = false;
// True for a pack.
template <class Indices, class... Ts>
inline constexpr bool kIsOutputs<OutputPack<Indices, Ts...>> = true;

// The result of a formula as a pack, also if the formula returns a single number.
template <class R>
TL_HD constexpr auto as_outputs(R result) {
  if constexpr (kIsOutputs<R>) {
    return result;
  } else {
    return outputs(result);
  }
}

}  // namespace tapeloop
