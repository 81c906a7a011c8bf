// SPDX-License-Identifier: MIT
// Finds the backend of a device.
#include "tapeloop/autograd/device/backend.h"

namespace tapeloop {

const Backend& backend(Device device) {
  return device == Device::cpu ? detail::cpu_backend() : detail::cuda_backend();
}

const DeviceMemory& device_memory(Device device) { return backend(device); }

}  // namespace tapeloop
