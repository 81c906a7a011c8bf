// SPDX-License-Identifier: MIT
// Everything around the vector loop of a pointwise kernel: rows, repeated operands, tails and
// strides. Compiled once for all functors; knows neither tensors nor formulas.
#pragma once

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::cpu {

// Runs the kernel for elements of type T over rows [begin, end) of the plan. If the plan has a
// single row, [begin, end) are elements of it.
template <class T>
void walk(const PointwiseKernel& kernel, const void* functor, const LoopPlan& plan,
          std::int64_t begin, std::int64_t end);

}  // namespace tapeloop::cpu
