// SPDX-License-Identifier: MIT
// The list of items goes to the device in one copy, then one kernel does them all.
#include <cstring>

#include "autograd/cuda/capture.cuh"
#include "autograd/cuda/kernels.h"
#include "autograd/cuda/launch.cuh"
#include "autograd/memory.h"
#include "autograd/plan.h"

namespace tapeloop::cuda {

void pointwise_each(const PointwiseKernel& kernel, DType dtype,
                    std::span<const PointwiseItem> items) {
  const EachLaunch each = find_each(kernel, dtype);
  if (each == nullptr) {
    tapeloop::detail::cannot_record("an update rule has no kernel for many parameters at once");
    const PointwiseLaunch one = find_pointwise(kernel, dtype);
    for (const PointwiseItem& item : items) one(item.functor, plan_of(kernel, item), {});
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
    blocks += (item.count + kItemElements - 1) / kItemElements;
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
