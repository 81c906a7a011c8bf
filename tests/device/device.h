// SPDX-License-Identifier: MIT
// Shared by the tests of Device::cuda: whether there is a GPU, the tolerances, and errors that the
// emulated GPU found.
#pragma once

#include <cstdio>

#include "cuda_emulation/emulation.h"
#include "tapeloop/autograd/device/cuda/cuda.h"
#include "tests/support.h"

namespace tapeloop::test {

// True if the case can run; else prints that it is skipped.
inline bool have_gpu() {
  if (cuda::available()) return true;
  std::printf("SKIPPED: no GPU of compute capability 8.0 or above\n");
  return false;
}

// True if the program has the emulated GPU, whose counts the case needs; else prints that it is
// skipped.
inline bool have_emulation() {
  if (emulation::present()) return true;
  std::printf("SKIPPED: what it counts only the emulated GPU knows\n");
  return false;
}

// Checks at the end of a case that no kernel wrote out of bounds.
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
