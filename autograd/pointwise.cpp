// SPDX-License-Identifier: MIT
// The pointwise operation without templates: broadcasting, the kernel's run, and the node on the tape.
#include "autograd/pointwise.h"

#include <fmt/format.h>

#include <cstring>

#include "autograd/backend.h"
#include "autograd/error.h"
#include "autograd/memory.h"
#include "autograd/ops.h"
#include "autograd/plan.h"

namespace tapeloop {

namespace {

using detail::PointwiseInput;

// The shape a functor sees of one argument: [..., G*H] in G columns is [..., H].
Shape argument_shape(const PointwiseKernel& kernel, const PointwiseInput& input) {
  const Shape& shape = input.var.shape();
  if (input.columns == 1) return shape;
  if (shape.rank() == 0 || shape.dim(-1) % input.columns != 0) {
    fail(kernel.name, fmt::format("columns<{}> needs a last axis that divides by {}, got {}",
                                  input.columns, input.columns, shape.str()));
  }
  return shape.with(-1, shape.dim(-1) / input.columns);
}

Shape common_shape(const PointwiseKernel& kernel, std::span<const PointwiseInput> inputs) {
  Shape shape = argument_shape(kernel, inputs[0]);
  const Tensor& first = inputs[0].var.value();
  for (const PointwiseInput& input : inputs) {
    const Tensor& value = input.var.value();
    if (value.dtype() == DType::int64) {
      fail(kernel.name, "works on float32 and float64, got " + value.describe() +
                            "; convert it by tensor.to(DType::float32)");
    }
    if (value.dtype() != first.dtype()) {
      fail(kernel.name,
           fmt::format("inputs must be all float32 or all float64, got {} and {}; convert one by "
                       "to(x, {})",
                       first.describe(), value.describe(), name(first.dtype())));
    }
    if (value.device() != first.device()) {
      fail(kernel.name,
           fmt::format("inputs are on different devices, {} and {}; copy one to the other's",
                       name(first.device()), name(value.device())));
    }
    Shape argument = argument_shape(kernel, input);
    if (argument != shape) shape = broadcast(kernel.name, shape, argument);
  }
  return shape;
}

// A tensor's column views, appended as operands.
void append_columns(PoolVector<Tensor>& operands, const Tensor& tensor, int columns) {
  if (columns == 1) {
    operands.push_back(tensor);
    return;
  }
  std::int64_t width = tensor.defined() ? tensor.dim(-1) / columns : 0;
  for (int g = 0; g < columns; ++g) {
    operands.push_back(tensor.defined() ? tensor.slice(-1, g * width, (g + 1) * width) : Tensor());
  }
}

// Runs the kernel; outputs that are not wanted stay undefined. Returns the shape of one result.
Shape compute(const PointwiseKernel& kernel, const void* functor,
              std::span<const PointwiseInput> inputs, std::span<const int> out_columns,
              std::span<const bool> wanted, std::span<Var> outputs) {
  Shape shape = common_shape(kernel, inputs);
  const Tensor& first = inputs[0].var.value();
  PoolVector<Tensor> operands;
  operands.reserve(static_cast<std::size_t>(kernel.inputs + kernel.outputs));
  for (const PointwiseInput& input : inputs)
    append_columns(operands, input.var.value(), input.columns);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    Tensor result;
    if (wanted.empty() || wanted[k]) {
      Shape whole = shape;
      if (out_columns[k] > 1 && whole.rank() > 0) whole[whole.rank() - 1] *= out_columns[k];
      result = Tensor::empty(whole, first.dtype(), first.device());
    }
    append_columns(operands, result, out_columns[k]);
    outputs[k] = Var(std::move(result));
  }
  if (shape.numel() > 0) {
    backend(first.device()).pointwise(kernel, functor, first.dtype(), plan_loop(shape, operands));
  }
  return shape;
}

// The gradient of one input: added up over what was broadcast. Columns that were stretched are added up each by itself.
Var gradient_of_input(const Var& gradient, const PointwiseInput& input) {
  const Shape& shape = input.var.shape();
  if (input.columns == 1 || gradient.dim(-1) == shape.dim(-1)) return sum_to(gradient, shape);
  std::int64_t columns = input.columns;
  std::int64_t width = gradient.dim(-1) / columns;
  std::int64_t rows = gradient.shape().removed(-1).numel();
  Var by_column = sum(reshape(gradient, Shape{rows, columns, width}), {2});
  return sum_to(reshape(by_column, gradient.shape().with(-1, columns)), shape);
}

struct PointwiseBackward {
  const PointwiseKernel* kernel;
  detail::FormulaBytes functor;
  PoolVector<PointwiseInput> inputs;
  PoolVector<int> out_columns;

  void operator()(std::span<const Var> doutputs, Grads& grads) const {
    const PointwiseKernel* backward = kernel->backward;
    if (backward == nullptr) {
      fail(kernel->name,
           fmt::format(
               "derivatives of pointwise functors are compiled up to the second, and for up to {} "
               "inputs, results and gradients together; compose the formula of smaller functors",
               kMaxOperands));
    }
    PoolVector<PointwiseInput> arguments(inputs.begin(), inputs.end());
    PoolVector<int> in_columns;
    PoolVector<bool> unused;
    for (const PointwiseInput& input : inputs) in_columns.push_back(input.columns);
    const Tensor& first = inputs[0].var.value();
    for (std::size_t k = 0; k < doutputs.size(); ++k) {
      if (doutputs[k].defined()) {
        arguments.push_back({doutputs[k], out_columns[k]});
      } else {  // zero: one repeated element stands for all of them, in each column
        Var zero(Tensor::zeros({}, first.dtype(), first.device()));
        for (int g = 0; g < out_columns[k]; ++g) arguments.push_back({zero, 1});
      }
    }
    std::array<bool, kMaxOperands> wanted{};
    for (std::size_t i = 0; i < inputs.size(); ++i) wanted[i] = grads.needs(static_cast<int>(i));
    PoolVector<Var> dinputs(inputs.size());
    detail::pointwise_wanted(*backward, functor, arguments, in_columns,
                             {wanted.data(), inputs.size()}, dinputs);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (wanted[i]) grads.add(static_cast<int>(i), gradient_of_input(dinputs[i], inputs[i]));
    }
  }
};

}  // namespace

void detail::pointwise_wanted(const PointwiseKernel& kernel, const FormulaBytes& functor,
                              std::span<const PointwiseInput> inputs,
                              std::span<const int> out_columns, std::span<const bool> wanted,
                              std::span<Var> outputs) {
  std::array<const Var*, kMaxOperands> vars{};
  for (std::size_t i = 0; i < inputs.size(); ++i) vars[i] = &inputs[i].var;
  std::span<const Var* const> input_vars(vars.data(), inputs.size());
  bool recorded = Recorder::wanted(kernel.name, input_vars);
  if (!recorded || wanted.empty()) {
    compute(kernel, functor.bytes, inputs, out_columns, wanted, outputs);
  } else {
    compute(kernel, functor.bytes, inputs, out_columns, {},
            outputs);  // a recorded node has all of its results
  }
  if (!recorded) return;
  PointwiseBackward backward{
      &kernel, functor, {inputs.begin(), inputs.end()}, {out_columns.begin(), out_columns.end()}};
  Recorder::record(kernel.name, input_vars, outputs, std::move(backward));
}

void detail::pointwise(const PointwiseKernel& kernel, const FormulaBytes& functor,
                       std::span<const PointwiseInput> inputs, std::span<const int> out_columns,
                       std::span<Var> outputs) {
  pointwise_wanted(kernel, functor, inputs, out_columns, {}, outputs);
}

void transform(const PointwiseKernel& kernel, const void* functor, std::span<const Tensor> inputs,
               std::span<const Tensor> outputs) {
  if (static_cast<int>(inputs.size()) != kernel.inputs ||
      static_cast<int>(outputs.size()) != kernel.outputs) {
    fail(kernel.name, fmt::format("takes {} inputs and {} outputs, got {} and {}", kernel.inputs,
                                  kernel.outputs, inputs.size(), outputs.size()));
  }
  const Tensor& first = outputs[0];
  PoolVector<Tensor> operands(inputs.begin(), inputs.end());
  operands.insert(operands.end(), outputs.begin(), outputs.end());
  for (const Tensor& operand : operands) {
    if (!operand.defined() || operand.dtype() == DType::int64 || operand.shape() != first.shape() ||
        operand.dtype() != first.dtype() || operand.device() != first.device()) {
      fail(
          kernel.name,
          fmt::format("tensors must be of one shape, floating-point type and device, got {} and {}",
                      first.describe(), operand.describe()));
    }
  }
  if (first.numel() == 0) return;
  for (const Tensor& output : outputs) output.mark_written();
  backend(first.device())
      .pointwise(kernel, functor, first.dtype(), plan_loop(first.shape(), operands));
}

}  // namespace tapeloop
