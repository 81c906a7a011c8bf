// SPDX-License-Identifier: MIT
// Updates of many tensors: copies the list of items to the device, then one kernel updates all of
// them. Without such a kernel, or with strides, the items are updated one after the other.
#include <cstring>

#include "tapeloop/autograd/device/cuda/capture.cuh"
#include "tapeloop/autograd/device/cuda/gpu.cuh"
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/plan.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::cuda {

namespace {

// Runs one item. Does nothing after a mistake until the host has thrown it.
void run_one(const PointwiseKernel& kernel, DType dtype, const PointwiseItem& item) {
  const int* const halted = gpu().notes.halted;
  const PointwiseLaunch run = find_pointwise(kernel, dtype);
  if (item.strided != nullptr) return run(item.functor, *item.strided, halted);
  if (item.count > 0) run(item.functor, plan_of(kernel, item), halted);
}

}  // namespace

void pointwise_each(const PointwiseKernel& kernel, DType dtype,
                    std::span<const PointwiseItem> items, GraphCapture* rerun) {
  const EachLaunch each = find_each(kernel, dtype);
  if (each == nullptr) {
    tapeloop::detail::cannot_capture("an update rule has no kernel for many parameters at once");
    for (const PointwiseItem& item : items) run_one(kernel, dtype, item);
    return;
  }
  PoolVector<EachItem> table(items.size());
  std::int64_t blocks = 0;
  std::size_t count = 0;
  for (const PointwiseItem& item : items) {
    if (item.strided != nullptr) {
      tapeloop::detail::cannot_capture(
          "a parameter or its gradient is not contiguous, so the optimizer updates it by itself");
      run_one(kernel, dtype, item);
      continue;
    }
    if (item.count == 0) continue;
    EachItem& to = table[count++];
    std::memcpy(to.functor, item.functor, kernel.functor_bytes);
    to.count = item.count;
    to.first_block = blocks;
    std::memcpy(to.data, item.data, sizeof(to.data));
    to.repeated = item.repeated;
    blocks += (item.count + kItemElements - 1) / kItemElements;
  }
  if (count == 0) return;
  const std::size_t bytes = count * sizeof(EachItem);
  if (rerun != nullptr) {
    std::memcpy(static_cast<Capture*>(rerun)->next_table(), table.data(), bytes);
    return;
  }
  const Table there(table.data(), bytes);
  each(there.as<EachItem>(), static_cast<int>(count), blocks);
}

}  // namespace tapeloop::cuda
