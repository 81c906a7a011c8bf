// SPDX-License-Identifier: MIT
// Which GPU a program runs on, for reports. In facts.cu; facts_absent.cpp in a build without CUDA; the emulated GPU's are in
// tests/cuda_emulation. Works with no tensor.
#pragma once

#include <optional>
#include <string>

namespace bench {

struct GpuFacts {
  std::string name;        // as the driver gives it
  std::string capability;  // "9.0"
  std::string driver_cuda,
      runtime_cuda;  // the newest CUDA that the driver knows, and the one that was compiled in: "13.0"
  int multiprocessors = 0;
  double memory_gib = 0;
  bool emulated = false;
};

// Nothing where there is no GPU.
std::optional<GpuFacts> gpu_facts();

}  // namespace bench
