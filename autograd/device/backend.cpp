// SPDX-License-Identifier: MIT
// Finds what belongs to a device: its backend, its memory, and its graph capture.
#include "tapeloop/autograd/device/backend.h"

#include "tapeloop/autograd/device/graph_capture.h"
#include "tapeloop/autograd/tensor/device_memory.h"

namespace tapeloop {

const Backend& backend(Device device) {
  return device == Device::cpu ? detail::cpu_backend() : detail::cuda_backend();
}

const DeviceMemory& device_memory(Device device) {
  return device == Device::cpu ? detail::cpu_memory() : detail::cuda_memory();
}

bool captures_graphs(Device device) {
  backend(device);  // throws if there is no such device
  return device != Device::cpu;
}

std::unique_ptr<GraphCapture> new_graph_capture(Device device) {
  return device == Device::cpu ? nullptr : detail::new_cuda_capture();
}

}  // namespace tapeloop
