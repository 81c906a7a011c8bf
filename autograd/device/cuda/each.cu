// SPDX-License-Identifier: MIT
// Updates of many tensors: copies the list of items to the device, then one kernel updates all of
// them. Without such a kernel the items are updated one after the other.
#include <algorithm>
#include <cstring>

#include "tapeloop/autograd/device/cuda/capture.cuh"
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/launch.cuh"
#include "tapeloop/autograd/device/plan.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::cuda {

static __global__ void made_kernel(UpdateNumber* made, UpdateNumber number, const int* halted) {
  if (*halted == 0) *made = number;
}

void pointwise_update(const PointwiseKernel& kernel, DType dtype, const LoopPlan& plan,
                      const PointwiseItem& item) {
  const int* const halted = gpu().notes.halted;
  const PointwiseLaunch update = find_pointwise(kernel, dtype);
  const std::scoped_lock lock(working());  // no mistake of another thread comes in between
  if (item.count > 0) update(item.functor, plan, {.halted = halted});
  if (item.made != nullptr)
    launch(made_kernel, dim3{1}, dim3{1}, 0, item.made, item.number, halted);
}

void pointwise_each(const PointwiseKernel& kernel, DType dtype,
                    std::span<const PointwiseItem> items) {
  const EachLaunch each = find_each(kernel, dtype);
  if (each == nullptr) {
    tapeloop::detail::cannot_record("an update rule has no kernel for many parameters at once");
    for (const PointwiseItem& item : items) {
      pointwise_update(kernel, dtype, plan_of(kernel, item), item);
    }
    return;
  }
  PoolVector<EachItem> table(items.size());
  std::int64_t blocks = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const PointwiseItem& item = items[i];
    EachItem& to = table[i];
    std::memcpy(to.functor, item.functor, kernel.functor_bytes);
    to.count = item.count;
    to.first_block = blocks;
    std::memcpy(to.data, item.data, sizeof(to.data));
    to.repeated = item.repeated;
    to.made = item.made;
    to.number = item.number;
    // An item without elements gets one block too: the block writes the item's update number.
    blocks += std::max<std::int64_t>(1, (item.count + kItemElements - 1) / kItemElements);
  }
  const std::size_t bytes = table.size() * sizeof(EachItem);
  if (Capture* const capture = Capture::renewing()) {
    std::memcpy(capture->next_table(), table.data(), bytes);
    return;
  }
  const Table there(table.data(), bytes);
  each(there.as<EachItem>(), static_cast<int>(table.size()), blocks);
}

}  // namespace tapeloop::cuda
