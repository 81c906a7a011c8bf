// SPDX-License-Identifier: MIT
// The emulated GPU's memory: readable only while something runs on it.
#pragma once

namespace emulation {

// Kernels, copies and products hold one while they run; they may be nested.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace emulation
