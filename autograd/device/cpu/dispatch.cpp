// SPDX-License-Identifier: MIT
// Chooses the instruction set of the kernels. Asks the CPU once.
// TAPELOOP_ISA=avx2 turns AVX-512 off.
#include <cstdlib>
#include <string_view>

#include "tapeloop/autograd/device/cpu/kernels.h"

namespace tapeloop::cpu {

bool use_avx512() {
#if defined(TAPELOOP_WITH_AVX512)
  static const bool kUse = [] {
    const char* wish = std::getenv("TAPELOOP_ISA");
    if (wish != nullptr && std::string_view(wish) == "avx2") return false;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }();
  return kUse;
#else
  return false;
#endif
}

const Kernels& kernels() {
#if defined(TAPELOOP_WITH_AVX512)
  if (use_avx512()) return kernels_for<isa::Avx512>();
#endif
  return kernels_for<isa::Native>();
}

const char* isa_name() { return use_avx512() ? isa::Avx512::name : isa::Native::name; }

}  // namespace tapeloop::cpu
