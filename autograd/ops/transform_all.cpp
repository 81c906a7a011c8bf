// SPDX-License-Identifier: MIT
// Queues updates, and groups those that one launch can do.
#include "tapeloop/autograd/ops/transform_all.h"

#include <algorithm>
#include <utility>

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/ops.h"

namespace tapeloop {

void TransformAll::add(const PointwiseKernel& kernel, const detail::FormulaBytes& functor,
                       std::span<const Tensor> inputs, std::span<const Tensor> outputs) {
  const Tensor& first = outputs[0];
  const Counted counted = std::exchange(next_, {});
  Pending pending{&kernel, first.device(), first.dtype(), functor, {}, counted.count};
  ++added_;
  if (first.device() == Device::cpu) {
    transform(kernel, functor.bytes, inputs, outputs);
    return note(pending);
  }
  pending.item.count = first.numel();
  pending.item.made = counted.made;
  if (counted.made != nullptr) pending.item.number = {counted.count->asked + 1, counted.call};
  int k = 0;
  bool together = inputs.size() + outputs.size() <= kMaxItemOperands;
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
  if (together) {
    pending_.push_back(pending);
  } else {
    const LoopPlan plan = transform_plan(kernel, inputs, outputs);
    detail::cannot_record(
        "a parameter that is not contiguous, or its gradient, is updated by itself");
    apart_.push_back({pending, plan});
  }
  for (const Tensor& output : outputs) output.mark_written();
}

void TransformAll::note(const Pending& done) {
  if (done.count == nullptr) return;
  ++done.count->updates;
  if (done.item.made == nullptr) return;
  ++done.count->asked;
  ++asked_;
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
    if (std::any_of(pending_.begin(), here, same)) continue;  // launched already
    items.clear();
    for (auto other = here; other != pending_.end(); ++other) {
      if (!same(*other)) continue;
      items.push_back(other->item);
      items.back().functor = other->functor.bytes;
    }
    backend(one.device).pointwise_each(*one.kernel, one.dtype, items);
    for (auto other = here; other != pending_.end(); ++other) {
      if (same(*other)) note(*other);
    }
  }
  for (Apart& apart : apart_) {
    Pending& one = apart.pending;
    one.item.functor = one.functor.bytes;
    backend(one.device).pointwise_update(*one.kernel, one.dtype, apart.plan, one.item);
    note(one);
  }
  pending_.clear();
  apart_.clear();
}

}  // namespace tapeloop
