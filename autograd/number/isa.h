// SPDX-License-Identifier: MIT
// Tag types for the instruction sets that kernels are compiled for. Native is the best one that the
// compiler flags allow. Kernels are templates on the tag, so one program can contain several builds
// of a kernel without a name clash.
#pragma once

// Only nvcc defines the last macro, for -use_fast_math.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0) || \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) ||                          \
    defined(__NO_SIGNED_ZEROS__) || defined(__USE_FAST_MATH__)
#error \
    "Tapeloop calculates as IEEE 754 says: compile without -Ofast, -ffast-math and its parts \
(-ffinite-math-only, -fassociative-math, -freciprocal-math, -fno-signed-zeros). -O3 is as fast."
#endif

namespace tapeloop::isa {

struct Lane {  // one number, for a thread of a GPU
  static constexpr const char* name = "lane";
};

struct Baseline {  // what every machine of the platform has: SSE2 on x86-64
  static constexpr int vector_bytes = 16;
  static constexpr int registers = 16;
  static constexpr const char* name = "baseline";
};

struct Avx2 {  // AVX2 and FMA
  static constexpr int vector_bytes = 32;
  static constexpr int registers = 16;
  static constexpr const char* name = "avx2";
};

struct Avx512 {  // AVX-512 F, BW, DQ and VL
  static constexpr int vector_bytes = 64;
  static constexpr int registers = 32;
  static constexpr const char* name = "avx512";
};

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
using Native = Avx512;
#elif defined(__AVX2__) && defined(__FMA__)
using Native = Avx2;
#else
using Native = Baseline;
#endif

}  // namespace tapeloop::isa
