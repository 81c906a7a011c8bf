// SPDX-License-Identifier: MIT
// What the tests of Device::cuda share: whether there is a GPU, how close results must be, and what the emulated one noticed.
#pragma once

#include <cstdio>

#include "cuda_emulation/emulation.h"
#include "tapeloop/autograd/device/cuda/cuda.h"
#include "tests/support.h"

namespace tapeloop::test {

// Whether the case can run; else it is reported as skipped.
inline bool have_gpu() {
  if (cuda::available()) return true;
  std::printf("SKIPPED: no GPU of compute capability 8.0 or above\n");
  return false;
}

// Whether the case can ask what only the emulated GPU knows; else it is reported as skipped.
inline bool have_emulation() {
  if (emulation::present()) return true;
  std::printf("SKIPPED: what it counts only the emulated GPU knows\n");
  return false;
}

// At the end of a case: nothing was written out of bounds.
struct Bounds {
  Bounds() = default;
  Bounds(const Bounds&) = delete;
  Bounds& operator=(const Bounds&) = delete;
  ~Bounds() {
    if (emulation::present()) CHECK(emulation::damaged_blocks() == 0);
  }
};

inline double tolerance(DType dtype) { return dtype == DType::float32 ? 1e-5 : 1e-10; }

}  // namespace tapeloop::test
