// SPDX-License-Identifier: MIT
// From tensors to a LoopPlan: axes of size 1 dropped, axes that lie behind each other in every operand merged.
#pragma once

#include <span>

#include "tapeloop/autograd/formula/kernel.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

// One operand of a loop: a tensor, or one of several columns of equal width that lie side by side in its last axis.
// A null tensor is one that is not wanted: data == nullptr.
struct LoopOperand {
  const Tensor* tensor;
  int column;
  int columns;
};

// Walks over all elements of `shape`; each operand broadcasts to it.
LoopPlan plan_loop(const Shape& shape, std::span<const LoopOperand> operands);
// A single row.
LoopPlan plan_of(const PointwiseKernel& kernel, const PointwiseItem& item);
// The same as the first for whole tensors, of which undefined ones are not wanted.
LoopPlan plan_loop(const Shape& shape, std::span<const Tensor> operands);

}  // namespace tapeloop
