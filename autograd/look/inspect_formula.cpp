// SPDX-License-Identifier: MIT
// The search for a NaN or infinity within a pointwise formula: finds the part of the formula, or
// the argument, by its name.
#include <algorithm>

#include "tapeloop/autograd/look/inspect_record.h"
#include "tapeloop/autograd/ops/formula.h"

namespace tapeloop::detail {

void Inspection::called(const FormulaCall& call) {
  if (!checks_) return;
  const PointwiseKernel& kernel = call.kernel;
  for (const Var& output : call.results) {
    std::optional<NonFinitePlace> found = look(output.value(), true, "its result");
    if (!found || kernel.trace == nullptr || kernel.order > 0) continue;
    const Formula formula(kernel, call.functor);
    const Formula::Bad bad = formula.first_non_finite(arguments_of(call.inputs), false);
    // The tape reports arguments that are not finite, because it knows where they come from.
    if (bad.part < formula.arguments()) return;
    found->operation = kernel.name;
    found->gate = formula.gate(bad.part);
    found->what = "its results, of shape " + output.shape().str();
    found->value = bad.value;
    std::int64_t rest = bad.element;
    found->element.assign(static_cast<std::size_t>(output.rank()), 0);
    for (int axis = output.rank(); axis-- > 0;) {
      found->element[static_cast<std::size_t>(axis)] = rest % output.dim(axis);
      rest /= output.dim(axis);
    }
    for (const PointwiseInput& input : call.inputs) {
      found->largest_input = std::max(found->largest_input, largest(input.var->value()));
    }
    report(std::move(*found));
  }
}

void Inspection::differentiated(const FormulaGradient& gradient) {
  if (!checks_) return;
  const std::span<const Var> dinputs = gradient.dinputs;
  const std::span<const int> columns = gradient.columns;
  int argument = 0;
  for (std::size_t i = 0; i < dinputs.size(); argument += columns[i], ++i) {
    if (!dinputs[i].defined()) continue;
    std::optional<NonFinitePlace> found =
        look(dinputs[i].value(), true, "the gradient of its input");
    if (!found) continue;
    const std::int64_t width = std::max<std::int64_t>(1, dinputs[i].dim(-1) / columns[i]);
    const int column = columns[i] == 1 ? 0 : static_cast<int>(found->element.back() / width);
    found->operation = gradient.kernel.name;
    if (gradient.kernel.inputs > 1) {
      found->gate = Formula(gradient.kernel, gradient.functor).argument_name(argument + column);
    }
    report(std::move(*found));
  }
}

}  // namespace tapeloop::detail
