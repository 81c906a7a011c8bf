// SPDX-License-Identifier: MIT
// One launch of the same formula for many tensors, such as the update of all parameters. Contiguous
// operands only.
#pragma once

#include "tapeloop/autograd/device/cuda/launch.cuh"
#include "tapeloop/autograd/device/cuda/registry.h"

namespace tapeloop::cuda {

template <class F, class T, std::size_t... I, std::size_t... O>
TL_HD void apply_at(const F& formula, const EachItem& item, std::int64_t i,
                    std::index_sequence<I...>, std::index_sequence<O...>) {
  using V = Vec<T, isa::Lane>;
  constexpr std::size_t kIn = sizeof...(I);
  const auto results = as_outputs(
      formula(V{static_cast<const T*>(item.data[I])[(item.repeated >> I & 1) != 0 ? 0 : i]}...));
  ((static_cast<T*>(item.data[kIn + O])[i] = dual::As<V>::convert(output<O>(results)).raw), ...);
}

// Does nothing after a mistake until the host has thrown it: wrong results must not reach the
// weights.
template <class F, class T>
__global__ void __launch_bounds__(kThreads)
    each_kernel(const EachItem* items, int count, const int* halted) {
  if (*halted != 0) return;
  const std::int64_t block = blockIdx.x;
  int low = 0;
  for (int high = count; high - low > 1;) {
    const int middle = (low + high) / 2;
    (items[middle].first_block <= block ? low : high) = middle;
  }
  const EachItem& item = items[low];
  const F formula = *reinterpret_cast<const F*>(item.functor);
  // One element per thread: in a loop, the formula's settings would stay in registers across calls
  // and spill.
  const std::int64_t i = (block - item.first_block) * kItemElements + threadIdx.x;
  if (i >= item.count) return;
  apply_at<F, T>(formula, item, i, std::make_index_sequence<static_cast<std::size_t>(kArity<F>)>{},
                 std::make_index_sequence<static_cast<std::size_t>(kResultCount<F>)>{});
}

template <class F, class T>
void launch_each(const EachItem* items, int count, std::int64_t blocks) {
  static_assert(kArity<F> + kResultCount<F> <= kMaxItemOperands);
  launch(each_kernel<F, T>, dim3{static_cast<unsigned>(blocks)},
         dim3{static_cast<unsigned>(kItemElements)}, 0, items, count, gpu().notes.halted);
}

}  // namespace tapeloop::cuda
