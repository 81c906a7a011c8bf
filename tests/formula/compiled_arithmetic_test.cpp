// SPDX-License-Identifier: MIT
// The library refuses a program with other arithmetic and names both. install_test.py shows with
// real programs that compilers' flags are recognised.
#include "tapeloop/autograd/formula/compiled_arithmetic.h"

#include "tapeloop/autograd/ops/ops.h"
#include "tests/support.h"
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace tapeloop::test {

namespace {

struct Gate {
  static constexpr const char* name = "gate";
  TL_HD auto operator()(auto a, auto b) const { return a * b + floor(a); }
};
detail::Arithmetic arithmetic_here() { return detail::arithmetic_of<isa::Native, Gate>(); }

}  // namespace

TEST_CASE("a formula's kernel tells the arithmetic that its loops were compiled for") {
  const PointwiseKernel& gate = pointwise_kernel<Gate>();
  const bool measured = gate.arithmetic != nullptr;
  REQUIRE(measured);
  CHECK(gate.arithmetic().isa == isa::Native::name);
  CHECK(gate.arithmetic().fused == arithmetic_here().fused);
  const bool own = pointwise_kernel<formula::Mul>().arithmetic == nullptr;
  CHECK(own);
}

TEST_CASE("a program compiled as the library is may bring formulas") {
  CHECK_NOTHROW(detail::check_arithmetic("gate", arithmetic_here()));
}

TEST_CASE("a formula compiled for other arithmetic is refused, and both are named") {
  detail::Arithmetic other = arithmetic_here();
  other.fused = !other.fused;
  if (other.optimized) {
    CHECK(
        throws_with("formula \"gate\": the program was compiled for|rounded once|rounded twice|"
                    "the library for|pkg-config --cflags tapeloop",
                    [&] { detail::check_arithmetic("gate", other); }));
  }
  other.optimized = false;  // a debug build by clang fuses nothing, whatever its flags
  CHECK_NOTHROW(detail::check_arithmetic("gate", other));
  other = arithmetic_here();
  other.reordered = true;
  CHECK(throws_with("formula \"gate\": the program was compiled with -fassociative-math",
                    [&] { detail::check_arithmetic("gate", other); }));
}

#if defined(__SSE2__)
TEST_CASE("denormal numbers held as 0 are noticed") {
  CHECK_NOTHROW(detail::check_denormals());
  const unsigned before = _mm_getcsr();
  for (const unsigned bit : {0x8000u, 0x0040u}) {  // flush to zero, denormals are zero
    _mm_setcsr(before | bit);
    const std::string message = message_of([] { detail::check_denormals(); });
    _mm_setcsr(before);
    CHECK(message.find("cpu: this thread treats numbers below 2^-1022 as 0") == 0);
  }
}
#endif

}  // namespace tapeloop::test
