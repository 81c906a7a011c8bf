// SPDX-License-Identifier: MIT
// DeviceMemory: how a device allocates, copies and fills the elements of tensors.
#pragma once

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // Blocks of devices other than the CPU. The CPU's come from memory.h.
  virtual detail::Storage* allocate(std::size_t bytes) const = 0;
  virtual void release(detail::Storage* storage) const noexcept = 0;
  virtual void* address(detail::Storage* storage) const = 0;  // of the first element

  // For any strides. Converts the element type. A number that int64 cannot hold is an error.
  virtual void copy(const Tensor& to, const Tensor& from) const = 0;
  virtual void fill(const Tensor& to, double value) const = 0;
};

// The memory of a device. Throws Error for cuda if this build has no CUDA, or there is no GPU.
const DeviceMemory& device_memory(Device device);

namespace detail {
const DeviceMemory& cpu_memory();
const DeviceMemory& cuda_memory();  // autograd/device/cuda
}  // namespace detail

}  // namespace tapeloop
