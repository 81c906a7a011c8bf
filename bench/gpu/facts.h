// SPDX-License-Identifier: MIT
// Facts about the GPU that a program runs on, for reports. facts.cu implements it; facts_absent.cpp
// in a build without CUDA; tests/cuda_emulation for the emulated GPU. Works with no tensor.
#pragma once

#include <optional>
#include <string>

namespace bench {

struct GpuFacts {
  std::string name;        // from the driver
  std::string capability;  // "9.0"
  // The newest CUDA that the driver supports, and the one of the build: "13.0".
  std::string driver_cuda, runtime_cuda;
  int multiprocessors = 0;
  double memory_gib = 0;
  bool emulated = false;
};

// Empty if there is no GPU.
std::optional<GpuFacts> gpu_facts();

}  // namespace bench
