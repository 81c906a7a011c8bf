// SPDX-License-Identifier: MIT
// Runs the kernel of a formula on whole tensors.
#include "tapeloop/autograd/device/transform.h"

#include <fmt/format.h>

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/device/plan.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

LoopPlan transform_plan(const PointwiseKernel& kernel, std::span<const Tensor> inputs,
                        std::span<const Tensor> outputs) {
  if (static_cast<int>(inputs.size()) != kernel.inputs ||
      static_cast<int>(outputs.size()) != kernel.outputs) {
    fail(kernel.name, fmt::format("takes {} inputs and {} outputs, got {} and {}", kernel.inputs,
                                  kernel.outputs, inputs.size(), outputs.size()));
  }
  const Tensor& first = outputs[0];
  LoopOperands operands;
  const auto add = [&](const Tensor& operand) {
    if (!operand.defined() || operand.dtype() == DType::int64 || operand.shape() != first.shape() ||
        operand.dtype() != first.dtype() || operand.device() != first.device()) {
      fail(
          kernel.name,
          fmt::format("tensors must be of one shape, floating-point type and device, got {} and {}",
                      first.describe(), operand.describe()));
    }
    operands.add(&operand, 1);
  };
  for (const Tensor& input : inputs) add(input);
  for (const Tensor& output : outputs) add(output);
  LoopPlan plan = plan_loop(first.shape(), operands.all());
  plan.overwritten = overwritten_inputs(kernel, plan);
  return plan;
}

void transform(const PointwiseKernel& kernel, const void* functor, std::span<const Tensor> inputs,
               std::span<const Tensor> outputs) {
  const LoopPlan plan = transform_plan(kernel, inputs, outputs);
  const Tensor& first = outputs[0];
  if (first.numel() == 0) return;
  for (const Tensor& output : outputs) output.mark_written();
  backend(first.device()).pointwise(kernel, functor, first.dtype(), plan);
}

}  // namespace tapeloop
