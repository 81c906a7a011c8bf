// SPDX-License-Identifier: MIT
// The emulated GPU's memory: readable only while something runs on it. And whether a stream captures.
#pragma once

#include "cuda_runtime.h"

namespace emulation {

// stream.cpp
bool captures(cudaStream_t stream);
std::int64_t streams();  // that there are
std::int64_t graphs();

// Kernels, copies and products hold one while they run; they may be nested.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace emulation
