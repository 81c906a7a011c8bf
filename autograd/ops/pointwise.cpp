// SPDX-License-Identifier: MIT
// The pointwise operation without templates: broadcasts, runs the kernel, records the tape entry.
#include "tapeloop/autograd/ops/pointwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/device/plan.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

namespace {

using detail::PointwiseInput;

// The shape of one argument as the functor gets it: [..., G*H] in G columns becomes [..., H].
Shape column_shape(const PointwiseKernel& kernel, const PointwiseInput& input) {
  const Shape& shape = input.var->shape();
  if (shape.rank() == 0 || shape.dim(-1) % input.columns != 0) {
    fail(kernel.name,
         fmt::format("columns<{}> needs a last axis whose size is a multiple of {}, got {}",
                     input.columns, input.columns, shape.str()));
  }
  return shape.with(-1, shape.dim(-1) / input.columns);
}

void check_types(const PointwiseKernel& kernel, const Tensor& first, const Tensor& value) {
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
         fmt::format("inputs are on different devices, {0} and {1}; copy one by to(x, Device::{0})",
                     name(first.device()), name(value.device())));
  }
}

Shape common_shape(const PointwiseKernel& kernel, std::span<const PointwiseInput> inputs) {
  const Tensor& first = inputs[0].var->value();
  Shape shape = inputs[0].columns == 1 ? first.shape() : column_shape(kernel, inputs[0]);
  for (const PointwiseInput& input : inputs) {
    const Tensor& value = input.var->value();
    check_types(kernel, first, value);
    if (input.columns == 1 && value.shape() == shape) continue;
    const Shape argument = input.columns == 1 ? value.shape() : column_shape(kernel, input);
    if (argument != shape) shape = broadcast(kernel.name, shape, argument);
  }
  return shape;
}

// Runs the kernel; outputs that are not wanted stay undefined.
void compute(const PointwiseKernel& kernel, const void* functor,
             std::span<const PointwiseInput> inputs, std::span<const int> out_columns,
             std::span<const bool> wanted, std::span<Var> outputs) {
  const detail::Operation operation(kernel.name);
  const Shape shape = common_shape(kernel, inputs);
  const Tensor& first = inputs[0].var->value();
  LoopOperands operands;
  for (const PointwiseInput& input : inputs) operands.add(&input.var->value(), input.columns);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (!wanted.empty() && !wanted[k]) {
      operands.add(nullptr, out_columns[k]);
      continue;
    }
    Shape whole = shape;
    if (out_columns[k] > 1 && whole.rank() > 0) whole[whole.rank() - 1] *= out_columns[k];
    outputs[k] = detail::empty_variable(whole, first.dtype(), first.device());
    operands.add(&outputs[k].value(), out_columns[k]);
  }
  if (shape.numel() > 0) {
    backend(first.device())
        .pointwise(kernel, functor, first.dtype(), plan_loop(shape, operands.all()));
  }
}

// The gradient of one input: sums over broadcast axes. Broadcast columns are summed one by one.
Var gradient_of_input(Var&& gradient, const Shape& shape, int columns) {
  if (gradient.shape() == shape) return std::move(gradient);
  if (columns == 1 || gradient.dim(-1) == shape.dim(-1)) return sum_to(gradient, shape);
  std::int64_t width = gradient.dim(-1) / columns;
  std::int64_t rows = gradient.shape().removed(-1).numel();
  Var by_column = sum(reshape(gradient, Shape{rows, columns, width}), {2});
  return sum_to(reshape(by_column, gradient.shape().with(-1, columns)), shape);
}

// The settings of a functor in a tape entry. Most functors have none and need no memory.
struct NoSettings {
  explicit NoSettings(const detail::FormulaBytes&) {}
  detail::FormulaBytes functor() const { return detail::FormulaBytes(*this); }
};
struct Settings {
  explicit Settings(const detail::FormulaBytes& functor) : functor_(functor) {}
  const detail::FormulaBytes& functor() const { return functor_; }

 private:
  detail::FormulaBytes functor_;
};
bool has_settings(const PointwiseKernel& kernel, const detail::FormulaBytes& functor) {
  return kernel.functor_bytes > 1 || functor.bytes[0] != std::byte{0};
}

// The backward function of a tape entry: the formula and its inputs. At most `Most`
// inputs and `Most` results.
template <std::size_t Most, class Kept>
struct PointwiseBackward {
  const PointwiseKernel* kernel;
  std::array<Saved<Var>, Most> inputs;
  std::array<int, Most> in_columns;
  std::array<std::uint8_t, Most> out_columns;
  [[no_unique_address]] Kept kept;

  PointwiseBackward(const PointwiseKernel& k, const detail::FormulaBytes& f,
                    std::span<const PointwiseInput> in, std::span<const int> out)
      : kernel(&k), kept(f) {
    std::array<bool, Most> wanted;
    for (std::size_t i = 0; i < in.size(); ++i) {
      in_columns[i] = in[i].columns;
      wanted[i] = in[i].var->requires_grad();
    }
    for (std::size_t i = 0; i < in.size(); ++i) {
      inputs[i] = save(*in[i].var, i, f, {wanted.data(), in.size()});
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      out_columns[i] = static_cast<std::uint8_t>(out[i]);
    }
  }

  void operator()(std::span<const Var> doutputs, Grads& grads) const {
    const PointwiseKernel* backward = kernel->backward;
    if (backward == nullptr) {
      fail(kernel->name,
           fmt::format("this derivative is not compiled: a pointwise functor has first and second "
                       "derivatives only, of at most {} inputs, results and gradients together; "
                       "compose the formula of smaller functors",
                       kMaxOperands));
    }
    const std::size_t count = inputs_used();
    const detail::FormulaBytes& functor = kept.functor();
    std::array<bool, Most> wanted;
    for (std::size_t i = 0; i < count; ++i) wanted[i] = grads.needs(static_cast<int>(i));
    std::array<PointwiseInput, kMaxOperands> arguments;
    std::size_t given = 0;
    for (; given < count; ++given) {
      if (!inputs[given].unchanged()) check_not_read(given, functor, {wanted.data(), count});
      arguments[given] = {&inputs[given].unchecked(), in_columns[given]};
    }
    Var zero;
    for (std::size_t k = 0; k < doutputs.size(); ++k) {
      if (doutputs[k].defined()) {
        arguments[given++] = {&doutputs[k], out_columns[k]};
        continue;
      }
      if (!zero.defined()) {  // one repeated element in place of all zeros, for each column
        zero = Var(Tensor::zeros({}, inputs[0].dtype(), inputs[0].device()));
      }
      for (int g = 0; g < out_columns[k]; ++g) arguments[given++] = {&zero, 1};
    }
    std::array<Var, Most> dinputs;
    detail::pointwise_wanted(*backward, functor, std::span(arguments.data(), given),
                             {in_columns.data(), count}, {wanted.data(), count},
                             {dinputs.data(), count});
    for (const auto& observer : grads.observers()) {
      observer->differentiated(
          {*kernel, functor.bytes, {dinputs.data(), count}, {in_columns.data(), count}});
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (!wanted[i]) continue;
      grads.add(static_cast<int>(i),
                gradient_of_input(std::move(dinputs[i]), inputs[i].shape(), in_columns[i]));
    }
  }

 private:
  // Saves an input. If somebody has a pointer to its elements, Saved takes a checksum of them, but
  // only if the gradient reads them.
  Saved<Var> save(const Var& x, std::size_t i, const detail::FormulaBytes& functor,
                  std::span<const bool> wanted) const {
    const detail::Storage* const storage = detail::storage_of(x.value());
    const bool exposed = storage != nullptr &&
                         (storage->writes.load(std::memory_order_relaxed) & detail::kExposed) != 0;
    const int argument = static_cast<int>(i);
    if (!exposed || x.is_parameter() || kernel->backward == nullptr ||
        detail::gradient_reads(*kernel, functor, i, {in_columns.data(), wanted.size()}, wanted)) {
      return Saved<Var>(x, argument);
    }
    return Saved<Var>(x, argument, detail::Stamp::Pointers::ignore);
  }
  // Throws if the gradients depend on the elements of input i. The gradients of a sum do not.
  void check_not_read(std::size_t i, const detail::FormulaBytes& functor,
                      std::span<const bool> wanted) const {
    if (detail::gradient_reads(*kernel, functor, i, {in_columns.data(), wanted.size()}, wanted)) {
      static_cast<void>(inputs[i].get());
    }
  }
  std::size_t inputs_used() const {
    std::size_t count = 0;
    while (count < Most && inputs[count].defined()) ++count;
    return count;
  }
};

// Records the smallest tape entry in which the inputs, the results and the settings fit.
template <std::size_t Most>
void record_node(const PointwiseKernel& kernel, const detail::FormulaBytes& functor,
                 std::span<const PointwiseInput> inputs, std::span<const int> out_columns,
                 std::span<const Var* const> vars, std::span<Var> outputs) {
  if constexpr (Most < kMaxOperands) {
    if (std::max(inputs.size(), outputs.size()) > Most) {
      return record_node<(2 * Most < kMaxOperands ? 2 * Most : kMaxOperands)>(
          kernel, functor, inputs, out_columns, vars, outputs);
    }
  }
  const auto record_with = [&]<class Kept>() {
    Recorder::record(kernel.name, vars, outputs,
                     PointwiseBackward<Most, Kept>(kernel, functor, inputs, out_columns));
  };
  if (has_settings(kernel, functor)) {
    record_with.template operator()<Settings>();
  } else {
    record_with.template operator()<NoSettings>();
  }
}

}  // namespace

void detail::pointwise_wanted(const PointwiseKernel& kernel, const FormulaBytes& functor,
                              std::span<const PointwiseInput> inputs,
                              std::span<const int> out_columns, std::span<const bool> wanted,
                              std::span<Var> outputs) {
  std::array<const Var*, kMaxOperands> vars;
  for (std::size_t i = 0; i < inputs.size(); ++i) vars[i] = inputs[i].var;
  const std::span<const Var* const> input_vars(vars.data(), inputs.size());
  const bool recorded = Recorder::wanted(kernel.name, input_vars);
  // A tape entry needs all results.
  compute(kernel, functor.bytes, inputs, out_columns, recorded ? std::span<const bool>() : wanted,
          outputs);
  const FormulaCall call{kernel, functor.bytes, inputs, outputs};
  if (recorded) {
    for (const auto& observer : observers()) observer->called(call);
  }
  if (thread_context.observer != nullptr) thread_context.observer->called(call);
  if (recorded) record_node<2>(kernel, functor, inputs, out_columns, input_vars, outputs);
}

void detail::pointwise(const PointwiseKernel& kernel, const FormulaBytes& functor,
                       std::span<const PointwiseInput> inputs, std::span<const int> out_columns,
                       std::span<Var> outputs) {
  pointwise_wanted(kernel, functor, inputs, out_columns, {}, outputs);
}

Var detail::elementwise(const PointwiseKernel& kernel, const FormulaBytes& functor, const Var& x) {
  const PointwiseInput input{&x, 1};
  const int one = 1;
  Var result;
  pointwise(kernel, functor, {&input, 1}, {&one, 1}, {&result, 1});
  return result;
}

}  // namespace tapeloop
