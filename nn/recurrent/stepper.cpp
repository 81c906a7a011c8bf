// SPDX-License-Identifier: MIT
// The checks of make_stepper().
#include "tapeloop/nn/recurrent/stepper.h"

#include <cmath>
#include <string>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn::detail {

void check_streams(int directions, Connection connection) {
  if (connection != Connection::plain) {
    fail("stepper",
         "the model has residual or highway connections, which a Stepper does not run; step its "
         "cells by nn::step without a tape, or train it with Connection::plain");
  }
  if (directions != 1) {
    fail("stepper",
         "the model runs in both directions, so a step needs the steps after it; train a model "
         "with bidirectional = false");
  }
}

void check_float32(const char* what, const Tensor& weight) {
  if (weight.dtype() != DType::float32 || !weight.on_host()) {
    fail("stepper", std::string(what) + ": " + weight.describe() +
                        ", expected float32 on the cpu; convert the model by nn::convert(model, "
                        "DType::float32), or move it by nn::move(model, Device::cpu)");
  }
}

StepperLayer layer_of(const Recurrence& recurrence, const Linear& projection,
                      std::span<const std::int64_t> state_sizes) {
  if (!recurrence.defined()) {
    fail("stepper",
         "a cell has no recurrence with these options; step it by nn::step without a tape");
  }
  const Tensor& w = projection.weight.value();
  return {recurrence,
          w,
          projection.bias.defined() ? projection.bias.value()
                                    : Tensor::zeros({w.dim(0)}, w.dtype(), w.device()),
          {state_sizes.begin(), state_sizes.end()}};
}

void check_affine(const StepperLayer& layer, const Tensor& x, const Tensor& y) {
  PauseRecording pause;
  const Var expected = linear(Var(x), Var(layer.w_in), Var(layer.b_in));
  const double error = max(abs(expected - Var(y)), {0, 1}).item();
  const double size = max(abs(Var(y)), {0, 1}).item();
  if (!(error <= 1e-4 * (1 + size))) {
    fail("stepper",
         "a cell's input() is not an affine map of x (weights times x, plus a bias), which is all "
         "that a "
         "Stepper can take; step it by nn::step without a tape");
  }
}

}  // namespace tapeloop::nn::detail
