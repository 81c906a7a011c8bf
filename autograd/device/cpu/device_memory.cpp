// SPDX-License-Identifier: MIT
// The memory of the CPU: blocks of the thread's pool (memory.h).
#include "tapeloop/autograd/tensor/device_memory.h"

#include "tapeloop/autograd/device/cpu/tensor_loops.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {
namespace {

class CpuMemory final : public DeviceMemory {
 public:
  detail::Storage* allocate(std::size_t bytes) const override {
    return detail::new_storage(bytes, Device::cpu);
  }
  void release(detail::Storage* storage) const noexcept override {
    detail::delete_storage(storage);
  }
  void* address(detail::Storage* storage) const override {
    return reinterpret_cast<char*>(storage) + 64;
  }
  void copy(const Tensor& to, const Tensor& from) const override { cpu::copy(to, from); }
  void fill(const Tensor& to, double value) const override { cpu::fill(to, value); }
};

}  // namespace

const DeviceMemory& detail::cpu_memory() {
  static const CpuMemory& kMemory = *new CpuMemory;  // tensors in static objects outlive all else
  return kMemory;
}

}  // namespace tapeloop
