// SPDX-License-Identifier: MIT
// The emulated GPU's memory, which is readable only while something runs on the GPU; and whether a
// stream captures.
#pragma once

#include "cuda_runtime.h"

namespace emulation {

// Defined in stream.cpp.
bool captures(cudaStream_t stream);
std::int64_t streams();  // number of existing streams
std::int64_t graphs();

// Kernels, copies and products hold one object while they run. Objects may be nested.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace emulation
