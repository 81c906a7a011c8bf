// SPDX-License-Identifier: MIT
// Which operands can be done together, and by which launches.
#include "autograd/transform_all.h"

#include <algorithm>

#include "autograd/backend.h"
#include "autograd/ops.h"

namespace tapeloop {

void TransformAll::add(const PointwiseKernel& kernel, const detail::FormulaBytes& functor,
                       std::span<const Tensor> inputs, std::span<const Tensor> outputs) {
  const Tensor& first = outputs[0];
  Pending pending{&kernel, first.device(), first.dtype(), functor, {}};
  pending.item.count = first.numel();
  int k = 0;
  bool together =
      first.device() != Device::cpu && inputs.size() + outputs.size() <= kMaxItemOperands;
  const auto take = [&](const Tensor& tensor, bool may_repeat) {
    together = together && tensor.is_contiguous() && tensor.dtype() == first.dtype() &&
               tensor.device() == first.device();
    if (!together) return;
    const bool repeated = may_repeat && tensor.numel() == 1;
    together = repeated || tensor.shape() == first.shape();
    if (repeated) pending.item.repeated |= 1u << k;
    pending.item.data[k++] = tensor.raw();
  };
  for (const Tensor& input : inputs) take(input, true);
  for (const Tensor& output : outputs) take(output, false);
  ++added_;
  if (!together) {
    if (first.device() != Device::cpu) {
      detail::cannot_record(
          "a parameter that is not contiguous, or its gradient, is updated by itself");
    }
    return transform(kernel, functor.bytes, inputs, outputs);
  }
  if (first.numel() == 0) return;
  for (const Tensor& output : outputs) output.mark_written();
  pending_.push_back(pending);
}

void TransformAll::run() {
  const auto alike = [](const Pending& a, const Pending& b) {
    return a.kernel == b.kernel && a.device == b.device && a.dtype == b.dtype;
  };
  PoolVector<PointwiseItem> items;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    const Pending& one = pending_[i];
    const auto same = [&](const Pending& other) { return alike(one, other); };
    const auto here = pending_.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::any_of(pending_.begin(), here, same)) continue;  // done with an earlier one
    items.clear();
    for (auto other = here; other != pending_.end(); ++other) {
      if (!same(*other)) continue;
      items.push_back(other->item);
      items.back().functor = other->functor.bytes;
    }
    backend(one.device).pointwise_each(*one.kernel, one.dtype, items);
  }
  pending_.clear();
}

}  // namespace tapeloop
