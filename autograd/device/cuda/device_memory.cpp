// SPDX-License-Identifier: MIT
// The memory of tensors on the GPU, and copies from and to it. Blocks come from memory.cpp.
#include "tapeloop/autograd/tensor/device_memory.h"

#include <new>

#include "tapeloop/autograd/device/cuda/gpu.cuh"
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {
namespace {

struct GpuStorage : detail::Storage {  // the header is in host memory
  cuda::Block block;
};

std::size_t bytes_of(const Tensor& tensor) {
  return static_cast<std::size_t>(tensor.numel() * size_of(tensor.dtype()));
}

void copy_to_gpu(const Tensor& to, const Tensor& from) {
  const Tensor near = from.to(to.dtype()).contiguous();
  const bool direct = to.is_contiguous();
  const Tensor there = direct ? to : Tensor::empty(to.shape(), to.dtype(), Device::cuda);
  cuda::upload(there.raw(), near.raw(), bytes_of(near));
  if (!direct) cuda::copy(to, there);
}

void copy_to_cpu(const Tensor& to, const Tensor& from) {
  const Tensor there = from.contiguous();
  const bool direct = to.is_contiguous() && to.dtype() == from.dtype();
  const Tensor near = direct ? to : Tensor::empty(to.shape(), from.dtype());
  cuda::download(near.raw(), there.raw(), bytes_of(there));
  if (!direct) device_memory(Device::cpu).copy(to, near);
}

class CudaMemory final : public DeviceMemory {
 public:
  detail::Storage* allocate(std::size_t bytes) const override {
    cuda::check_device();
    const cuda::Block block = bytes == 0 ? cuda::Block{} : cuda::take(bytes);
    memory::Account* account = nullptr;
    memory::take_elsewhere(static_cast<std::int64_t>(bytes), account);
    auto* const storage = new (memory::allocate(sizeof(GpuStorage)))
        GpuStorage{{{1}, Device::cuda, {false}, {false}, bytes}, block};
    storage->account = account;
    return storage;
  }
  void release(detail::Storage* storage) const noexcept override {
    auto* const own = static_cast<GpuStorage*>(storage);
    if (own->block.data != nullptr) cuda::give_back(own->block);
    memory::release_elsewhere(static_cast<std::int64_t>(own->bytes), own->account);
    memory::release(own, sizeof(GpuStorage));
  }
  void* address(detail::Storage* storage) const override {
    return static_cast<GpuStorage*>(storage)->block.data;
  }

  void copy(const Tensor& to, const Tensor& from) const override {
    cuda::check_device();
    if (to.device() == from.device()) return cuda::copy(to, from);
    if (to.device() == Device::cuda) return copy_to_gpu(to, from);
    copy_to_cpu(to, from);
  }
  void fill(const Tensor& to, double value) const override {
    cuda::check_device();
    cuda::fill(to, value);
  }
};

}  // namespace

const DeviceMemory& detail::cuda_memory() {
  cuda::gpu();  // throws if there is no GPU
  static const CudaMemory& kMemory = *new CudaMemory;
  return kMemory;
}

}  // namespace tapeloop
