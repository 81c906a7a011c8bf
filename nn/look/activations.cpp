// SPDX-License-Identifier: MIT
// Records activations: listens to pointwise operations, and sorts their values by layer and name.
#include "tapeloop/nn/look/activations.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/ops/formula.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

RecordActivations* RecordActivations::current() {
  auto* const record = dynamic_cast<RecordActivations*>(tapeloop::detail::thread_context.observer);
  return record == nullptr || record->step_ >= 0 ? nullptr : record;
}

void RecordActivations::begin_sequence(std::int64_t steps, std::int64_t batch) {
  const std::string name = Scope::path();
  const auto found = std::find_if(layers_.begin(), layers_.end(),
                                  [&](const Layer& layer) { return layer.name == name; });
  layer_ = static_cast<std::size_t>(found - layers_.begin());
  if (found == layers_.end()) layers_.push_back({name, batch, 0, 0, {}});
  Layer& layer = layers_[layer_];
  if (layer.batch != batch) {
    fail("activations",
         fmt::format("layer \"{}\" runs with a batch of {}, before with {}; record calls of one "
                     "batch size, or give the layers different names by a Scope",
                     name, batch, layer.batch));
  }
  layer.before = layer.steps;
  layer.steps += steps;
}

void RecordActivations::begin_step(std::int64_t t, std::span<const Var> state) {
  step_ = t;
  state_.assign(state.begin(), state.end());
  values_.clear();
}

void RecordActivations::called(const tapeloop::detail::FormulaCall& call) {
  const PointwiseKernel& kernel = call.kernel;
  if (step_ < 0 || kernel.trace == nullptr || kernel.order > 0) return;
  const tapeloop::detail::ObservedBy nobody(nullptr);  // the operations below are not the cell's
  const Formula formula(kernel, call.functor);
  const std::vector<Var> arguments = tapeloop::detail::arguments_of(call.inputs);
  const auto is_state = [&](const Var& x) {
    return std::any_of(state_.begin(), state_.end(),
                       [&](const Var& part) { return part.value().raw() == x.value().raw(); });
  };
  const bool single = formula.gate(formula.result_part(0)).empty();
  const std::vector<Tensor> values = formula.evaluate(arguments);
  const std::size_t before = values_.size();
  std::size_t given = 0;  // number of arguments, which come first
  for (std::size_t i = 0; i < values.size(); ++i) {
    const FormulaPart& part = formula.parts()[i];
    if (part.kind == FormulaPart::Kind::argument) {
      const bool plain = single && kernel.argument_names == nullptr;  // the input of sigmoid(x)
      if (plain || is_state(arguments[i])) continue;
      values_.push_back({part.text, values[i], {}, {}, false});
      ++given;
      continue;
    }
    // A result has the name of the operation, unless end_step() finds that
    // it is a part of the state.
    Value value{part.text, values[i], {}, {}, false};
    for (int k = 0; k < formula.results(); ++k) {
      if (formula.result_part(k) != static_cast<int>(i)) continue;
      value.result = call.results[static_cast<std::size_t>(k)];
      value.name = kernel.name;
      if (formula.results() > 1) value.name += " " + formula.result_name(k);
      if (kernel.result_names != nullptr) value.result_name = formula.result_name(k);
    }
    const bool function = part.kind == FormulaPart::Kind::function;
    if (function || (value.result.defined() && !single)) values_.push_back(std::move(value));
  }
  // The compiler chooses the order in which a formula calls its functions, so they are sorted.
  std::sort(values_.begin() + static_cast<std::ptrdiff_t>(before + given), values_.end(),
            [](const Value& a, const Value& b) { return a.name < b.name; });
}

void RecordActivations::end_step(std::span<const Var> made, std::span<const Var> state) {
  // The index of the state part that the value became; made.size(): none.
  const auto part_of = [&](const Value& value) {
    std::size_t k = 0;
    while (k < made.size() &&
           !(value.result.defined() && made[k].value().raw() == value.result.value().raw())) {
      ++k;
    }
    return k;
  };
  for (std::size_t k = 0; k < state.size(); ++k) {
    std::string name = k == 0 ? "h" : fmt::format("s{}", k);
    for (const Value& value : values_) {
      if (part_of(value) == k && !value.result_name.empty()) name = value.result_name;
    }
    store({name, state[k].value(), {}, {}, true});
  }
  std::map<std::string, int> count;
  for (Value& value : values_) {
    if (part_of(value) < made.size()) continue;
    const int number = ++count[value.name];
    if (number > 1) value.name += fmt::format(" {}", number);
    store(value);
  }
  values_.clear();
  state_.clear();
  step_ = -1;
}

void RecordActivations::store(const Value& value) {
  Layer& layer = layers_[layer_];
  if (value.tensor.rank() != 2 || value.tensor.dim(0) != layer.batch) return;
  const std::int64_t units = value.tensor.dim(1);
  auto row = std::find_if(layer.rows.begin(), layer.rows.end(), [&](const Activation& a) {
    return a.name == value.name && a.state == value.state && a.units == units;
  });
  if (row == layer.rows.end()) {
    layer.rows.push_back({layer.name, value.name, value.state, 0, layer.batch, units, {}});
    row = layer.rows.end() - 1;
  }
  const std::size_t size = static_cast<std::size_t>(layer.batch * units);
  row->steps = layer.steps;
  row->values.resize(size * static_cast<std::size_t>(layer.steps),
                     std::numeric_limits<float>::quiet_NaN());
  const std::vector<float> numbers = value.tensor.to_vector<float>();
  std::copy(numbers.begin(), numbers.end(),
            row->values.begin() +
                static_cast<std::ptrdiff_t>(size * static_cast<std::size_t>(layer.before + step_)));
}

std::vector<Activation> RecordActivations::all() const {
  std::vector<Activation> result;
  for (const Layer& layer : layers_) {
    for (const bool state : {true, false}) {
      for (const Activation& row : layer.rows) {
        if (row.state == state) result.push_back(row);
      }
    }
  }
  return result;
}

}  // namespace tapeloop::nn
