// SPDX-License-Identifier: MIT
// transform(): a formula on tensors, without recording.
#pragma once

#include <span>

#include "tapeloop/autograd/formula/kernel.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

// The loop of transform(); throws the errors of transform().
LoopPlan transform_plan(const PointwiseKernel& kernel, std::span<const Tensor> inputs,
                        std::span<const Tensor> outputs);

// Outputs may be the inputs' own memory (optimizers update in place). All tensors have the shape
// and type of outputs[0].
void transform(const PointwiseKernel& kernel, const void* functor, std::span<const Tensor> inputs,
               std::span<const Tensor> outputs);

}  // namespace tapeloop
