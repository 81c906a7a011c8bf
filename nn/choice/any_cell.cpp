// SPDX-License-Identifier: MIT
// The only code of a stack without its type, whatever its cell.
#include "tapeloop/nn/choice/any_cell.h"

#include <fmt/format.h>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

template class Recurrent<AnyCell>;

Stepper make_stepper(const AnyRecurrent& model, const Linear& head, const StepperOptions& options) {
  std::vector<std::unique_ptr<StreamLayer>> streams;
  for (const AnyCell& cell : model.cells()) {
    streams.push_back(cell.stream(options.weights));
    if (!streams.back()) return make_stepper<AnyCell>(model, head, options);
  }
  detail::check_streams(model.directions(), model.options().connection);
  return detail::with_head(std::move(streams), head, options);
}

Var detail::project_symbols(const Linear& projection, const Tensor& symbols) {
  const Var rows = transpose(projection.weight);
  return embedding(projection.bias.defined() ? rows + projection.bias : rows, symbols);
}

void detail::fail_without(const char* what) {
  fail("cell", fmt::format("the cell has no {}, which this needs", what));
}

}  // namespace tapeloop::nn
