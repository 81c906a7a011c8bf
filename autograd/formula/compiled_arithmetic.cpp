// SPDX-License-Identifier: MIT
// Measures the library's own arithmetic and compares the arithmetic of a program with it.
#include "tapeloop/autograd/formula/compiled_arithmetic.h"

#include <fmt/format.h>

#include <limits>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::detail {

static std::string describe(const Arithmetic& x) {
  return fmt::format("{}, a * b + c rounded {}", x.isa, x.fused ? "once" : "twice");
}

bool check_arithmetic(const char* formula, const Arithmetic& program) {
  static const Arithmetic kLibrary = arithmetic_of<isa::Native, struct Library>();
  const std::string place = fmt::format("formula \"{}\"", formula);
  if (program.reordered) {
    fail(place.c_str(),
         "the program was compiled with -fassociative-math, which changes floor(), exp() and sums; "
         "compile it without -Ofast, -ffast-math and their parts");
  }
  const bool comparable = program.optimized && kLibrary.optimized;
  if (comparable && program.fused != kLibrary.fused) {
    fail(
        place.c_str(),
        fmt::format("the program was compiled for {}, the library for {}; compile the program with "
                    "the flags of `pkg-config --cflags tapeloop` (-march and -ffp-contract are "
                    "among them), or build the library with yours",
                    describe(program), describe(kLibrary)));
  }
  return true;
}

void check_denormals() {
  const volatile double smallest_normal = std::numeric_limits<double>::min();
  const volatile double denormal = std::numeric_limits<double>::denorm_min();
  const volatile double half = 0.5, large = 0x1p1000;
  if (smallest_normal * half != 0 && denormal * large != 0) return;
  fail("cpu",
       "this thread treats numbers below 2^-1022 as 0 (FTZ or DAZ is on). Probably a part of the "
       "program "
       "was linked with -Ofast or -ffast-math: link it without them. If you want FTZ or DAZ, for "
       "example in an audio thread, turn them on after the first use of the library");
}

}  // namespace tapeloop::detail
