// SPDX-License-Identifier: MIT
// make_stepper(): makes a Stepper (autograd/sequence/stepper.h) from a trained model. It runs one
// stream step by step without allocating. For any cell with recurrence(), built-in or user-defined.
#pragma once

#include "tapeloop/autograd/sequence/stepper.h"
#include "tapeloop/nn/layers/layers.h"
#include "tapeloop/nn/recurrent/recurrent.h"

namespace tapeloop::nn {

namespace detail {
// The matrix and bias of an affine map Var -> Var of input size I, from its values at
// 0 and at scaled unit vectors. The scale is large, so that the bias does not round
// the elements of the matrix.
template <class Map>
StepperLayer affine_layer(const Recurrence& recurrence, std::int64_t inputs, Map map) {
  PauseRecording pause;
  constexpr double kLength = 0x1p40;
  const Tensor probes = Tensor::zeros({inputs + 1, inputs});
  for (std::int64_t i = 0; i < inputs; ++i) probes.select(0, i + 1).select(0, i).fill(kLength);
  const Tensor values = map(Var(probes)).value();
  const Tensor bias = values.select(0, 0).clone();
  const Tensor columns = ((Var(values.slice(0, 1, inputs + 1)) - Var(bias)) / kLength).value();
  return {recurrence, columns.transpose(0, 1).contiguous(), bias};
}
void check_affine(const StepperLayer& layer, const Tensor& x, const Tensor& y);
void check_one_direction(int directions);
void check_float32(const Recurrence& recurrence);
}  // namespace detail

// A Stepper from a stack in one direction and the Linear that follows it, if
// any. It copies the weights.
//   nn::make_stepper(model, head, {.weights = Weights::bfloat16})
// Throws if a cell has no recurrence, if its input() is not an affine map, or if
// the weights are not float32.
template <Cell C>
requires HasRecurrence<C> Stepper make_stepper(const Recurrent<C>& model, const Linear& head = {},
                                               const StepperOptions& options = {}) {
  detail::check_one_direction(model.directions());
  std::vector<StepperLayer> layers;
  std::int64_t inputs = model.options().input;
  Random random(1);
  for (const C& cell : model.cells()) {
    const auto map = [&cell](const Var& x) { return cell.input(x); };
    detail::check_float32(cell.recurrence());
    layers.push_back(detail::affine_layer(cell.recurrence(), inputs, map));
    PauseRecording pause;
    const Tensor x = random_normal({1, inputs}, 0, 1, random);
    detail::check_affine(layers.back(), x, map(Var(x)).value());
    inputs = cell.state_sizes()[0];
  }
  return Stepper(layers, head.weight.defined() ? head.weight.value() : Tensor(),
                 head.bias.defined() ? head.bias.value() : Tensor(), options);
}

}  // namespace tapeloop::nn
