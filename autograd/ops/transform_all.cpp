// SPDX-License-Identifier: MIT
// Queues updates, and groups those that one call of the device can do.
#include "tapeloop/autograd/ops/transform_all.h"

#include <algorithm>

#include "tapeloop/autograd/device/backend.h"

namespace tapeloop {

void TransformAll::add(const PointwiseKernel& kernel, const detail::FormulaBytes& functor,
                       std::span<const Tensor> inputs, std::span<const Tensor> outputs) {
  const Tensor& first = outputs[0];
  Pending pending{&kernel, first.device(), first.dtype(), functor, {}, kContiguous, 0, 0};
  pending.item.count = first.numel();
  ++added_;
  int k = 0;
  bool contiguous = static_cast<int>(inputs.size()) == kernel.inputs &&
                    static_cast<int>(outputs.size()) == kernel.outputs &&
                    kernel.inputs + kernel.outputs <= kMaxItemOperands &&
                    first.dtype() != DType::int64;
  const auto take = [&](const Tensor& tensor, bool may_repeat) {
    contiguous = contiguous && tensor.defined() && tensor.is_contiguous() &&
                 tensor.dtype() == first.dtype() && tensor.device() == first.device();
    if (!contiguous) return;
    const bool repeated = may_repeat && tensor.numel() == 1;
    contiguous = repeated || tensor.shape() == first.shape();
    if (repeated) pending.item.repeated |= 1u << k;
    pending.item.data[k++] = tensor.raw();
  };
  for (const Tensor& input : inputs) take(input, true);
  for (const Tensor& output : outputs) take(output, false);
  if (!contiguous) {  // or not valid: transform_plan() throws
    pending.plan = plans_.size();
    plans_.push_back(transform_plan(kernel, inputs, outputs));
    if (first.numel() == 0) return;
  }
  tensors_.insert(tensors_.end(), inputs.begin(), inputs.end());
  pending.first_output = tensors_.size();
  tensors_.insert(tensors_.end(), outputs.begin(), outputs.end());
  pending.end = tensors_.size();
  pending_.push_back(pending);
}

// Calls action(first of its kind, predicate of this kind) for each kind of call.
template <class Action>
void TransformAll::for_each_kind(Action action) {
  for (auto here = pending_.begin(); here != pending_.end(); ++here) {
    const auto same = [&one = *here](const Pending& other) {
      return one.kernel == other.kernel && one.device == other.device && one.dtype == other.dtype;
    };
    if (std::none_of(pending_.begin(), here, same)) action(*here, same);
  }
}

void TransformAll::run(GraphCapture* rerun) {
  // Asks for the kernels of later kinds before the first kind runs. The call that runs the first
  // kind throws by itself if there is no kernel.
  bool later = false;
  for_each_kind([&later](const Pending& one, const auto&) {
    if (later) backend(one.device).pointwise_each(*one.kernel, one.dtype, {}, nullptr);
    later = true;
  });
  PoolVector<PointwiseItem> items;
  for_each_kind([&](const Pending& one, const auto& same) {
    items.clear();
    for (const Pending& other : pending_) {
      if (!same(other)) continue;
      PointwiseItem& item = items.emplace_back(other.item);
      item.functor = other.functor.bytes;
      if (other.plan != kContiguous) item.strided = &plans_[other.plan];
    }
    backend(one.device).pointwise_each(*one.kernel, one.dtype, items, rerun);
    for (const Pending& other : pending_) {
      if (!same(other)) continue;
      for (std::size_t k = other.first_output; k < other.end; ++k) tensors_[k].mark_written();
    }
  });
  pending_.clear();
  plans_.clear();
  tensors_.clear();
}

}  // namespace tapeloop
