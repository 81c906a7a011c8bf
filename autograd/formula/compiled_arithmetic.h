// SPDX-License-Identifier: MIT
// Measures the arithmetic that a formula's loops were compiled for: whether a * b + c is rounded
// once, and whether the compiler reorders sums. A program's formulas must agree with the library in
// both.
#pragma once

#include "tapeloop/autograd/number/isa.h"

namespace tapeloop::detail {

struct Arithmetic {
  const char* isa;  // "avx2"
  bool fused;       // a * b + c is rounded once
  bool reordered;   // (a + b) - b is a
  bool optimized;   // if false, ignore `fused`: without optimization clang never fuses
};

// Throws if a formula was compiled for another arithmetic than the library: the last bits of a
// result would depend on the file that contains the formula. `formula` is its name.
bool check_arithmetic(const char* formula, const Arithmetic& program);
// Throws if this thread treats denormal numbers as 0 (FTZ or DAZ).
void check_denormals();

// g++ contracts a * b + c from -O2 on. The result must not depend on the program's own level.
#if defined(__GNUC__) && !defined(__clang__)
#define TL_MEASURED [[gnu::noinline, gnu::optimize("O2")]]
#else
#define TL_MEASURED [[gnu::noinline]]
#endif
// Templates on the formula, like its loops, so that the linker takes both from the same file.
template <class Isa, class F>
TL_MEASURED double product_and_sum(double a, double b, double c) {
  return a * b + c;
}
template <class Isa, class F>
TL_MEASURED double there_and_back(double a, double b) {
  return (a + b) - b;
}
#undef TL_MEASURED

template <class Isa, class F>
Arithmetic arithmetic_of() {
#if defined(__clang__) && !defined(__OPTIMIZE__)
  constexpr bool kOptimized = false;
#else
  constexpr bool kOptimized = true;
#endif
  const volatile double above = 1 + 0x1p-30, below = 1 - 0x1p-30, one = 1;
  const volatile double small = 0.3, large = 0x1p52;
  return {Isa::name, product_and_sum<Isa, F>(above, below, -one) != 0,
          there_and_back<Isa, F>(small, large) == small, kOptimized};
}

}  // namespace tapeloop::detail
