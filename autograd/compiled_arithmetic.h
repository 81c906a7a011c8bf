// SPDX-License-Identifier: MIT
// Measures for which arithmetic a file was compiled: whether a * b + c is rounded once, and whether
// the compiler reorders sums. The formulas of a program must use the library's arithmetic.
#pragma once

#include "autograd/isa.h"

namespace tapeloop::detail {

struct Arithmetic {
  const char* isa;  // "avx2"
  bool fused;       // a * b + c is one rounding
  bool reordered;   // (a + b) - b is a
};

// Throws if the program was compiled for other arithmetic than the library. Otherwise the last bits
// of a formula's results would depend on the file that contains the formula. `formula` is its name.
bool check_arithmetic(const char* formula, const Arithmetic& program);
// Throws if this thread treats denormal numbers as 0.
void check_denormals();

// Without optimization, clang ignores the flags for contraction and for reordering.
#if defined(__clang__) && !defined(__OPTIMIZE__)
inline constexpr bool kMeasurable = false;
#else
inline constexpr bool kMeasurable = true;
#endif

// g++ contracts a * b + c from -O2 on. The measurement must not depend on the program's -O level.
#if defined(__GNUC__) && !defined(__clang__)
#define TL_MEASURED [[gnu::noinline, gnu::optimize("O2")]]
#else
#define TL_MEASURED [[gnu::noinline]]
#endif
// Static, so that each file measures its own arithmetic.
TL_MEASURED static double product_and_sum(double a, double b, double c) { return a * b + c; }
TL_MEASURED static double there_and_back(double a, double b) { return (a + b) - b; }
#undef TL_MEASURED

[[maybe_unused]] static Arithmetic arithmetic_here() {
  const volatile double above = 1 + 0x1p-30, below = 1 - 0x1p-30, one = 1;
  const volatile double small = 0.3, large = 0x1p52;
  return {isa::Native::name, product_and_sum(above, below, -one) != 0,
          there_and_back(small, large) == small};
}

}  // namespace tapeloop::detail
