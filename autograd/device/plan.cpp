// SPDX-License-Identifier: MIT
// Loop plans: broadcasts by stride 0, and merges axes where the layouts of all operands allow it.
#include "tapeloop/autograd/device/plan.h"

namespace tapeloop {

// The operand's stride along an axis, which counts from the last one (-1); 0 if it is broadcast.
static std::int64_t stride_along(const LoopOperand& operand, int axis) {
  if (operand.tensor == nullptr) return 0;
  const int own = axis + operand.tensor->rank();
  if (own < 0) return 0;
  std::int64_t size = operand.tensor->shape()[own];
  if (axis == -1) size /= operand.columns;
  return size == 1 ? 0 : operand.tensor->stride(own);
}

LoopPlan plan_loop(const Shape& shape, std::span<const LoopOperand> operands) {
  LoopPlan plan;
  plan.rank = 0;
  const std::size_t count = operands.size();
  for (std::size_t k = 0; k < count; ++k) {
    const LoopOperand& x = operands[k];
    plan.operands[k].data = x.tensor == nullptr ? nullptr : static_cast<char*>(x.tensor->raw());
    if (x.column == 0 || x.tensor == nullptr) continue;
    const std::int64_t first = x.column * (x.tensor->dim(-1) / x.columns);
    plan.operands[k].data +=
        first * x.tensor->stride(x.tensor->rank() - 1) * size_of(x.tensor->dtype());
  }
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    std::int64_t strides[kMaxOperands];
    bool merges = plan.rank > 0;  // the axis before continues this one in every operand
    for (std::size_t k = 0; k < count; ++k) {
      strides[k] = stride_along(operands[k], axis - shape.rank());
      merges = merges && plan.operands[k].strides[plan.rank - 1] == strides[k] * shape[axis];
    }
    int place = merges ? plan.rank - 1 : plan.rank++;
    plan.sizes[place] = (merges ? plan.sizes[place] : 1) * shape[axis];
    for (std::size_t k = 0; k < count; ++k) plan.operands[k].strides[place] = strides[k];
  }
  if (plan.rank == 0) {
    plan.rank = 1;
    plan.sizes[0] = 1;
    // One element: any stride is correct, and kernels take a stride of 1 as contiguous.
    for (std::size_t k = 0; k < count; ++k) plan.operands[k].strides[0] = 1;
  }
  return plan;
}

LoopPlan plan_of(const PointwiseKernel& kernel, const PointwiseItem& item) {
  LoopPlan plan;
  plan.rank = 1;
  plan.sizes[0] = item.count;
  for (int k = 0; k < kernel.inputs + kernel.outputs; ++k) {
    plan.operands[k].data = static_cast<char*>(item.data[k]);
    plan.operands[k].strides[0] = (item.repeated >> k & 1) != 0 ? 0 : 1;
  }
  plan.overwritten = overwritten_inputs(kernel, plan);
  return plan;
}

LoopPlan plan_loop(const Shape& shape, std::span<const Tensor> operands) {
  LoopOperand list[kMaxOperands];
  for (std::size_t k = 0; k < operands.size(); ++k) {
    list[k] = {operands[k].defined() ? &operands[k] : nullptr, 0, 1};
  }
  return plan_loop(shape, std::span<const LoopOperand>(list, operands.size()));
}

}  // namespace tapeloop
