// SPDX-License-Identifier: MIT
// Optimizers: groups of parameters with options of their own, and parameters without a gradient.
#include <string>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/sgd.h"
#include "tests/optim/optimizers.h"

namespace tapeloop::optim {
namespace {

const Tensor& find(const StateDict& state, const std::string& name) {
  for (const NamedTensor& item : state) {
    if (item.name == name) return item.tensor;
  }
  throw Error("the state has no " + name);
}

}  // namespace

TEST_CASE("each group is updated with its own options") {
  ParameterList all = parameters_of({{5}, {3, 3}}, DType::float64);
  ParameterList alone = parameters_of({{5}, {3, 3}}, DType::float64);
  SgdOptions first{.learning_rate = 0.1, .weight_decay = 0.5};
  SgdOptions second{.learning_rate = 0.01, .momentum = 0.9};
  Sgd grouped({{{all[0]}, first}, {{all[1]}, second}});
  Sgd sgd_first({alone[0]}, first);
  Sgd sgd_second({alone[1]}, second);
  CHECK(grouped.groups() == 2);
  CHECK(grouped.learning_rate(0) == 0.1);
  CHECK(grouped.learning_rate(1) == 0.01);
  grouped.set_learning_rate(0.02, 1);
  sgd_second.set_learning_rate(0.02);
  CHECK(grouped.initial_learning_rate(1) == 0.01);
  for (unsigned t = 0; t < 4; ++t) {
    set_gradients(all, t);
    set_gradients(alone, t);
    grouped.step();
    sgd_first.step();
    sgd_second.step();
  }
  CHECK(same_bits(all[0].var.value(), alone[0].var.value()));
  CHECK(same_bits(all[1].var.value(), alone[1].var.value()));
  grouped.set_learning_rate(0.5);
  CHECK(grouped.learning_rate(0) == 0.5);
  CHECK(grouped.learning_rate(1) == 0.5);
  CHECK(message_of([&] { (void)grouped.learning_rate(2); }) ==
        "sgd: there is no parameter group 2; they are numbered 0 to 1");
}

TEST_CASE("a parameter without a gradient is left alone, and its step count too") {
  ParameterList parameters = parameters_of({{4}, {4}}, DType::float64);
  Tensor before = parameters[1].var.value().clone();
  Adam adam(parameters, {.weight_decay = 0.1});
  for (int t = 0; t < 3; ++t) {
    parameters[0].var.set_grad(Tensor::full({4}, 1, DType::float64));
    adam.step();
  }
  CHECK(same_bits(parameters[1].var.value(), before));
  CHECK(find(adam.state_dict(), "step.p0").item() == 3);
  CHECK(find(adam.state_dict(), "step.p1").item() == 0);
  // The parameter's first update has the bias correction of step 1: it moves by the learning rate
  // against the gradient's sign.
  adam.zero_grad();
  parameters[1].var.set_grad(Tensor::full({4}, 1e6, DType::float64));
  adam.step();
  CHECK(parameters[1].var.value().at({0}) == doctest::Approx(before.at({0}) - 1e-3).epsilon(1e-9));
  CHECK(find(adam.state_dict(), "step.p0").item() == 3);
  CHECK(adam.steps() == 4);
}

TEST_CASE("zero_grad forgets gradients, and one that is still held stays as it is") {
  ParameterList parameters = parameters_of({{4}}, DType::float32);
  Adam adam(parameters);
  set_gradients(parameters, 1);
  Var held = parameters[0].var.grad();
  Tensor copy = held.value().clone();
  adam.zero_grad();
  CHECK(!parameters[0].var.grad().defined());
  CHECK(same_bits(held.value(), copy));
}

TEST_CASE("state follows a parameter to another element type") {
  ParameterList parameters = parameters_of({{4}}, DType::float32);
  Adam adam(parameters);
  set_gradients(parameters, 1);
  adam.step();
  Tensor average = find(adam.state_dict(), "exp_avg.p0");
  parameters[0].var.set_value(parameters[0].var.value().to(DType::float64));
  set_gradients(parameters, 1);
  adam.set_learning_rate(0);
  adam.step();
  Tensor next = find(adam.state_dict(), "exp_avg.p0");
  CHECK(next.dtype() == DType::float64);
  CHECK(next.at({2}) == doctest::Approx(1.9 * average.at({2})).epsilon(1e-6));
}

TEST_CASE("a gradient of another type is refused before anything is updated") {
  ParameterList parameters = parameters_of({{2}, {3}}, DType::float32);
  set_gradients(parameters, 1);
  parameters[1].var.set_grad(Tensor::zeros({3}, DType::float64));
  Tensor before = parameters[0].var.value().clone();
  Sgd sgd(parameters);
  CHECK(message_of([&] { sgd.step(); }) ==
        "sgd: step: the gradient of \"p1\" is float64[3] on cpu, the parameter float32[3] on cpu; "
        "convert one by "
        "set_grad or set_value");
  CHECK(same_bits(parameters[0].var.value(), before));
  CHECK(sgd.steps() == 0);
}

}  // namespace tapeloop::optim
