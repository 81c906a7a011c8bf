// SPDX-License-Identifier: MIT
// From tensors to a LoopPlan: axes of size 1 dropped, axes that lie behind each other in every operand merged.
#pragma once

#include <span>

#include "autograd/kernel.h"
#include "autograd/tensor.h"

namespace tapeloop {

// Walks over all elements of `shape`; each operand broadcasts to it. An undefined operand gets data == nullptr.
LoopPlan plan_loop(const Shape& shape, std::span<const Tensor> operands);

}  // namespace tapeloop
