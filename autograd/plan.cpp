// SPDX-License-Identifier: MIT
// Loop plans: broadcasting by stride 0, then as few and as long axes as the operands' layouts allow.
#include "autograd/plan.h"

namespace tapeloop {

LoopPlan plan_loop(const Shape& shape, std::span<const Tensor> operands) {
  LoopPlan plan;
  plan.rank = 0;
  const std::size_t count = operands.size();
  for (std::size_t k = 0; k < count; ++k) {
    plan.operands[k].data = operands[k].defined() ? static_cast<char*>(operands[k].raw()) : nullptr;
  }
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    std::int64_t strides[kMaxOperands];
    bool merges = plan.rank > 0;  // the axis before continues this one in every operand
    for (std::size_t k = 0; k < count; ++k) {
      const Tensor& operand = operands[k];
      int own = axis - (shape.rank() - operand.rank());
      strides[k] =
          !operand.defined() || own < 0 || operand.shape()[own] == 1 ? 0 : operand.stride(own);
      merges = merges && plan.operands[k].strides[plan.rank - 1] == strides[k] * shape[axis];
    }
    int place = merges ? plan.rank - 1 : plan.rank++;
    plan.sizes[place] = (merges ? plan.sizes[place] : 1) * shape[axis];
    for (std::size_t k = 0; k < count; ++k) plan.operands[k].strides[place] = strides[k];
  }
  if (plan.rank == 0) {
    plan.rank = 1;
    plan.sizes[0] = 1;
    // One element: any stride will do, and 1 is the one that kernels take to be contiguous.
    for (std::size_t k = 0; k < count; ++k) plan.operands[k].strides[0] = 1;
  }
  return plan;
}

}  // namespace tapeloop
