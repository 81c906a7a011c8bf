// SPDX-License-Identifier: MIT
// make_stepper(): makes a Stepper (autograd/sequence/stepper.h) from a trained model. It runs one
// stream step by step without allocating. For any cell with recurrence() and input_projection(),
// built-in or user-defined.
#pragma once

#include "tapeloop/autograd/sequence/stepper.h"
#include "tapeloop/nn/layers/layers.h"
#include "tapeloop/nn/recurrent/recurrent.h"

namespace tapeloop::nn {

namespace detail {
// A layer that reads its input through `projection`; a projection without a bias gets zeros.
StepperLayer layer_of(const Recurrence& recurrence, const Linear& projection,
                      std::span<const std::int64_t> state_sizes);
void check_affine(const StepperLayer& layer, const Tensor& x, const Tensor& y);
void check_float32(const char* what, const Tensor& weight);
// Throws if the stack has two directions, or adds or mixes inputs into outputs.
void check_streams(int directions, Connection connection);
// A Stepper of these layers and the Linear that follows them, if any.
template <class Layers>
Stepper with_head(Layers layers, const Linear& head, const StepperOptions& options) {
  const auto value = [](const Var& x) { return x.defined() ? x.value() : Tensor(); };
  return Stepper(std::move(layers), value(head.weight), value(head.bias), options);
}
}  // namespace detail

// A Stepper from a stack in one direction and the Linear that follows it, if
// any. It copies the weights.
//   nn::make_stepper(model, head, {.weights = Weights::bfloat16})
// Throws if a cell has no recurrence, if its input() is not its input_projection(), or if the
// weights are not float32.
template <Cell C>
requires HasRecurrence<C> Stepper make_stepper(const Recurrent<C>& model, const Linear& head = {},
                                               const StepperOptions& options = {}) {
  static_assert(HasInputProjection<C>,
                "make_stepper: the cell must give the Linear that its input() applies: "
                "nn::Linear input_projection() const");
  detail::check_streams(model.directions(), model.options().connection);
  std::vector<StepperLayer> layers;
  std::int64_t inputs = model.options().input;
  Random random(1);
  for (const C& cell : model.cells()) {
    const PauseRecording pause;
    const auto sizes = cell.state_sizes();
    const Recurrence recurrence = detail::with_noise(
        cell.recurrence(), detail::mean_noise(model.options().noise, detail::zoned_parts(cell)),
        sizes.back(), 1, 1);
    layers.push_back(detail::layer_of(recurrence, cell.input_projection(),
                                      std::vector<std::int64_t>(sizes.begin(), sizes.end())));
    detail::check_float32("the model's weights", layers.back().w_in);
    const Tensor x = random_normal({1, inputs}, 0, 1, random);
    detail::check_affine(layers.back(), x, cell.input(Var(x)).value());
    inputs = cell.state_sizes()[0];
  }
  return detail::with_head(std::move(layers), head, options);
}

// The same for a cell that gives a layer of a Stepper itself:
//   std::unique_ptr<StreamLayer> stream_layer(Weights format) const;
template <class C>
concept HasStreamLayer = requires(const C& cell) {
  { cell.stream_layer(Weights::float32) } -> std::same_as<std::unique_ptr<StreamLayer>>;
};
// A Stepper from a stack of such cells and the Linear that follows it, if any.
template <Cell C>
requires HasStreamLayer<C> Stepper make_stepper(const Recurrent<C>& model, const Linear& head = {},
                                                const StepperOptions& options = {}) {
  detail::check_streams(model.directions(), model.options().connection);
  std::vector<std::unique_ptr<StreamLayer>> layers;
  for (const C& cell : model.cells()) layers.push_back(cell.stream_layer(options.weights));
  return detail::with_head(std::move(layers), head, options);
}

}  // namespace tapeloop::nn
