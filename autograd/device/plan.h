// SPDX-License-Identifier: MIT
// Makes a LoopPlan from tensors. Axes of size 1 are dropped; adjacent axes that are contiguous in
// every operand are merged.
#pragma once

#include <span>

#include "tapeloop/autograd/formula/kernel.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

// One operand of a loop: a tensor, or one of several columns of equal width side by side in its
// last axis. If `tensor` is null, the operand is not wanted: data == nullptr in the plan.
struct LoopOperand {
  const Tensor* tensor;
  int column;
  int columns;
};

// The operands of one kernel, inputs first. No heap allocation.
struct LoopOperands {
  LoopOperand list[kMaxOperands];
  std::size_t count = 0;
  void add(const Tensor* tensor, int columns) {
    for (int g = 0; g < columns; ++g) list[count++] = {tensor, g, columns};
  }
  std::span<const LoopOperand> all() const { return {list, count}; }
};

// A plan for all elements of `shape`; each operand broadcasts to it.
LoopPlan plan_loop(const Shape& shape, std::span<const LoopOperand> operands);
// A plan with a single row, for an item.
LoopPlan plan_of(const PointwiseKernel& kernel, const PointwiseItem& item);
// The same as the first one, for whole tensors. Undefined tensors are not wanted.
LoopPlan plan_loop(const Shape& shape, std::span<const Tensor> operands);

}  // namespace tapeloop
