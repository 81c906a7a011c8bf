// SPDX-License-Identifier: MIT
// Clipping of gradients by norm and by value: formulas, extreme values, errors.
#include "tapeloop/optim/clip.h"

#include <cmath>
#include <cstring>

#include "tests/optim/optimizers.h"

namespace tapeloop::optim {

namespace {
double plain_norm(const ParameterList& parameters, double p) {
  double sum = 0;
  for (const NamedVar& parameter : parameters) {
    if (!parameter.var.grad().defined()) continue;
    for (double x : parameter.var.grad().value().to_vector<double>()) {
      sum = p == kInf ? std::max(sum, std::abs(x)) : sum + std::pow(std::abs(x), p);
    }
  }
  return p == kInf ? sum : std::pow(sum, 1 / p);
}
}  // namespace

TEST_CASE("clipping by global norm scales all gradients by max_norm / (norm + 1e-6)") {
  for (DType dtype : {DType::float32, DType::float64}) {
    for (double p : {1.0, 2.0, 3.5, kInf}) {
      INFO(name(dtype) << " p = " << p);
      ParameterList parameters = parameters_of(kShapes, dtype);
      set_gradients(parameters, 1);
      parameters[2].var.set_grad(Var());
      double norm = plain_norm(parameters, p);
      std::vector<double> before = parameters[3].var.grad().value().to_vector<double>();
      CHECK(clip_grad_norm(parameters, 0.75, p) == doctest::Approx(norm).epsilon(1e-14));
      std::vector<double> after = parameters[3].var.grad().value().to_vector<double>();
      double allowed = dtype == DType::float32 ? 3e-7 : 1e-14;
      for (std::size_t k = 0; k < before.size(); ++k) {
        CHECK(std::abs(after[k] - before[k] * 0.75 / (norm + 1e-6)) <=
              allowed * std::abs(after[k]));
      }
      CHECK(!parameters[2].var.grad().defined());
    }
  }
}

TEST_CASE("gradients below the limit are not touched, and an infinite limit only measures") {
  ParameterList parameters = parameters_of({{7}}, DType::float32);
  set_gradients(parameters, 1);
  Tensor before = parameters[0].var.grad().value().clone();
  double norm = plain_norm(parameters, 2);
  CHECK(clip_grad_norm(parameters, norm + 1e-3) == doctest::Approx(norm).epsilon(1e-14));
  clip_grad_norm(parameters, kInf);
  clip_grad_norm_each(parameters, norm + 1e-3);
  CHECK(same_bits(parameters[0].var.grad().value(), before));
  CHECK(clip_grad_norm({}, 1) == 0);
}

TEST_CASE("a limit of 0, which some programs use for no clipping, is refused") {
  ParameterList parameters = parameters_of({{7}}, DType::float32);
  set_gradients(parameters, 1);
  Tensor before = parameters[0].var.grad().value().clone();
  const std::string norm_error =
      ": max_norm is 0; expected a number above 0, or infinity to measure the norm only; to train "
      "without clipping, leave the call out";
  CHECK(message_of([&] { clip_grad_norm(parameters, 0); }) == "clip_grad_norm" + norm_error);
  CHECK(message_of([&] { clip_grad_norm_each(parameters, 0); }) ==
        "clip_grad_norm_each" + norm_error);
  CHECK(message_of([&] { clip_grad_value(parameters, 0); }) ==
        "clip_grad_value: limit is 0; expected a number above 0; to train without clipping, leave "
        "the call out");
  CHECK(same_bits(parameters[0].var.grad().value(), before));
}

TEST_CASE("norms neither overflow nor vanish for huge and tiny gradients") {
  Var w = parameter(Tensor::zeros({2}));
  w.set_grad(Tensor::from<float>({2}, {3e30F, -4e30F}));
  CHECK(clip_grad_norm({{"w", w}}, 1) == doctest::Approx(5e30).epsilon(1e-6));
  CHECK(w.grad().value().at({1}) == doctest::Approx(-0.8).epsilon(1e-6));
  for (double size : {1e-300, 1e-170, 1e200, 1e307}) {
    for (double p : {1.0, 2.0, 3.0}) {
      Var v = parameter(Tensor::zeros({2}, DType::float64));
      v.set_grad(Tensor::from<double>({2}, {3 * size, -4 * size}));
      double expected = size * std::pow(std::pow(3, p) + std::pow(4, p), 1 / p);
      CHECK(clip_grad_norm({{"v", v}}, kInf, p) ==
            doctest::Approx(expected).epsilon(1e-14).scale(0));
    }
  }
}

TEST_CASE(
    "a gradient that is not finite is reported by the parameter's name, and nothing is scaled") {
  ParameterList parameters = parameters_of({{3}, {2, 2}, {2}}, DType::float32);
  set_gradients(parameters, 1);
  Tensor first = parameters[0].var.grad().value().clone();
  parameters[1].var.set_grad(
      Tensor::from<float>({2, 2}, {1, std::nanf(""), static_cast<float>(-kInf), 0}));
  parameters[2].var.set_grad(Tensor::full({2}, kInf));
  const std::string expected =
      "in the gradient of \"p1\" (float32[2, 2]) 2 of 4 elements are not finite (1 NaN, 1 "
      "infinite), and so it is in 1 "
      "more; lower the learning rate or look for log(0), 0/0 and the like in the loss. To skip the "
      "step, call zero_grad(). clip_grad_norm(parameters, max_norm, 2, NonFinite::ignore) returns "
      "the norm instead of this error";
  for (double p : {1.0, 2.0, kInf}) {
    CHECK(message_of([&] { clip_grad_norm(parameters, 1e-3, p); }) ==
          "clip_grad_norm: " + expected);
    CHECK(message_of([&] { clip_grad_norm_each(parameters, 1e-3, p); }) ==
          "clip_grad_norm_each: " + expected);
    CHECK(std::isnan(clip_grad_norm(parameters, 1e-3, p, NonFinite::ignore).value()));
    CHECK(std::isnan(clip_grad_norm_each(parameters, 1e-3, p, NonFinite::ignore).value()));
  }
  CHECK(same_bits(parameters[0].var.grad().value(), first));
  parameters[1].var.set_grad(Var());
  CHECK(clip_grad_norm(parameters, 1, 2, NonFinite::ignore) == kInf);
}

TEST_CASE("clipping leaves a gradient that somebody else holds as it is") {
  Tensor tensor = Tensor::full({300}, 3);
  Var gradient(Tensor::full({300}, 3));
  Var a = parameter(Tensor::zeros({300}));
  Var b = parameter(Tensor::zeros({300}));
  Var c = parameter(Tensor::zeros({300}));
  a.set_grad(Var(tensor));
  b.set_grad(gradient);
  c.set_grad(Var(Tensor::full({1}, 3).expand({300})));  // its elements share one memory location
  ParameterList parameters = {{"a", a}, {"b", b}, {"c", c}};
  double norm = clip_grad_norm(parameters, 1);
  CHECK(norm == doctest::Approx(std::sqrt(8100.0)));
  for (const Var& x : {a, b, c}) {
    for (float g : x.grad().value().to_vector<float>()) CHECK(g == doctest::Approx(3 / norm));
  }
  CHECK(tensor.at({0}) == 3);
  CHECK(gradient.value().at({0}) == 3);
  a.set_grad(Var(tensor));
  b.set_grad(gradient);
  clip_grad_value(parameters, 0.0078125);
  for (const Var& x : {a, b, c}) CHECK(x.grad().value().at({0}) == 0.0078125);
  CHECK(tensor.at({0}) == 3);
  CHECK(gradient.value().at({0}) == 3);

  const Tensor number = Tensor::full({}, 4);
  Var d = parameter(Tensor::full({}, 1));
  d.set_grad(Var(number));
  clip_grad_norm({{"d", d}}, 1);
  CHECK(d.grad().shape() == Shape{});
  CHECK(d.grad().item() == doctest::Approx(1).epsilon(1e-5));
  CHECK(number.item() == 4);
}

TEST_CASE("clipping each parameter looks at its own norm only") {
  Var a = parameter(Tensor::zeros({2}, DType::float64));
  Var b = parameter(Tensor::zeros({1}, DType::float64));
  a.set_grad(Tensor::from<double>({2}, {3, 4}));
  b.set_grad(Tensor::from<double>({1}, {0.5}));
  CHECK(clip_grad_norm_each({{"a", a}, {"b", b}}, 1) == 5);
  CHECK(a.grad().value().at({0}) == doctest::Approx(3 / 5.000001).epsilon(1e-14));
  CHECK(b.grad().value().at({0}) == 0.5);
}

TEST_CASE("clipping each parameter works where the norm of all overflows") {
  Var a = parameter(Tensor::zeros({1}, DType::float64));
  Var b = parameter(Tensor::zeros({1}, DType::float64));
  for (const Var& x : {a, b}) x.set_grad(Tensor::full({1}, 1.5e308, DType::float64));
  CHECK(clip_grad_norm_each({{"a", a}, {"b", b}}, 1) == 1.5e308);
  for (const Var& x : {a, b}) CHECK(x.grad().item() == doctest::Approx(1));
}

TEST_CASE("clipping by value holds each element within the limit; NaN stays") {
  Var a = parameter(Tensor::zeros({5}));
  a.set_grad(
      Tensor::from<float>({5}, {-3, -0.25F, 0.25F, static_cast<float>(kInf), std::nanf("")}));
  clip_grad_value({{"a", a}}, 0.5);
  std::vector<float> g = a.grad().value().to_vector<float>();
  CHECK(g[0] == -0.5F);
  CHECK(g[1] == -0.25F);
  CHECK(g[2] == 0.25F);
  CHECK(g[3] == 0.5F);
  CHECK(std::isnan(g[4]));
}

TEST_CASE("limits and lists that make no sense are refused by clipping") {
  Var w = parameter(Tensor::zeros({2}));
  CHECK(has(message_of([&] {
              clip_grad_norm({{"w", w}}, -1);
            }),
            "clip_grad_norm: max_norm is -1; expected a number above 0"));
  CHECK(message_of([&] {
          clip_grad_norm({{"w", w}}, 1, 0);
        }) ==
        "clip_grad_norm: p is 0; expected a number above 0, or infinity for the largest element");
  CHECK(message_of([&] {
          clip_grad_norm({{"w", w}, {"v", w}}, 1);
        }) ==
        "clip_grad_norm: one parameter was given twice, as \"w\" and as \"v\"; list a shared "
        "parameter once");
  CHECK(has(message_of([&] {
              clip_grad_norm({{"w", Var()}}, 1);
            }),
            "clip_grad_norm: \"w\" is not a parameter"));
  CHECK(has(message_of([&] {
              clip_grad_value({{"w", w}}, kNan);
            }),
            "clip_grad_value: limit is nan"));
  CHECK(has(message_of([&] {
              clip_grad_value({{"w", Var()}}, 1);
            }),
            "clip_grad_value: \"w\" is not a parameter"));
}

}  // namespace tapeloop::optim
