// SPDX-License-Identifier: MIT
// Optimizers against scalar loops in double, saved state and allocations.
// reference_test.cpp compares trajectories with PyTorch's.
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tapeloop/autograd/device/cpu/threads.h"
#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/optim/adagrad.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"
#include "tapeloop/optim/nag.h"
#include "tapeloop/optim/rmsprop.h"
#include "tapeloop/optim/schedule.h"
#include "tapeloop/optim/sgd.h"
#include "tapeloop/optim/updates.h"
#include "tests/allocations.h"
#include "tests/optim/optimizers.h"

namespace tapeloop::optim {
namespace {

using test::allocations;
using test::can_count_allocations;

using Make = std::function<std::unique_ptr<Optimizer>(const ParameterList&)>;

template <class O, class Options>
Make make(const Options& options) {
  return [options](const ParameterList& parameters) {
    return std::make_unique<O>(parameters, options);
  };
}

// One element's rule in double: changes p and its state (zeros at first, or `first_state`).
struct Rule {
  const char* name;
  Make make;
  std::function<void(double& p, double g, double* s, int t)> reference;
  double first_state = 0;
};

std::vector<Rule> rules() {
  const double lr = 0.05;
  return {
      {"sgd", make<Sgd>(SgdOptions{.learning_rate = lr}),
       [=](double& p, double g, double*, int) { p -= lr * g; }},
      {"sgd, maximize, weight decay",
       make<Sgd>(SgdOptions{.learning_rate = lr, .weight_decay = 0.1, .maximize = true}),
       [=](double& p, double g, double*, int) { p -= lr * (-g + 0.1 * p); }},
      {"sgd, momentum, dampening",
       make<Sgd>(
           SgdOptions{.learning_rate = lr, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.1}),
       [=](double& p, double g, double* s, int t) {
         g += 0.1 * p;
         s[0] = t == 1 ? g : 0.9 * s[0] + 0.7 * g;
         p -= lr * s[0];
       }},
      {"nag", make<Nag>(NagOptions{.learning_rate = lr, .momentum = 0.8, .weight_decay = 0.1}),
       [=](double& p, double g, double* s, int t) {
         g += 0.1 * p;
         s[0] = t == 1 ? g : 0.8 * s[0] + g;
         p -= lr * (g + 0.8 * s[0]);
       }},
      {"rmsprop",
       make<RmsProp>(RmsPropOptions{.learning_rate = lr, .alpha = 0.9, .weight_decay = 0.1}),
       [=](double& p, double g, double* s, int) {
         g += 0.1 * p;
         s[0] = 0.9 * s[0] + 0.1 * g * g;
         p -= lr * g / (std::sqrt(s[0]) + 1e-8);
       }},
      {"rmsprop, momentum, maximize",
       make<RmsProp>(RmsPropOptions{
           .learning_rate = lr, .alpha = 0.9, .epsilon = 0.1, .momentum = 0.7, .maximize = true}),
       [=](double& p, double g, double* s, int) {
         s[0] = 0.9 * s[0] + 0.1 * g * g;
         s[1] = 0.7 * s[1] - g / (std::sqrt(s[0]) + 0.1);
         p -= lr * s[1];
       }},
      {"rmsprop, centered",
       make<RmsProp>(
           RmsPropOptions{.learning_rate = lr, .alpha = 0.9, .epsilon = 0.1, .centered = true}),
       [=](double& p, double g, double* s, int) {
         s[0] = 0.9 * s[0] + 0.1 * g * g;
         s[1] = 0.9 * s[1] + 0.1 * g;
         p -= lr * g / (std::sqrt(s[0] - s[1] * s[1]) + 0.1);
       }},
      {"rmsprop, centered, momentum",
       make<RmsProp>(RmsPropOptions{
           .learning_rate = lr, .alpha = 0.9, .epsilon = 0.1, .momentum = 0.7, .centered = true}),
       [=](double& p, double g, double* s, int) {
         s[0] = 0.9 * s[0] + 0.1 * g * g;
         s[1] = 0.9 * s[1] + 0.1 * g;
         s[2] = 0.7 * s[2] + g / (std::sqrt(s[0] - s[1] * s[1]) + 0.1);
         p -= lr * s[2];
       }},
      {"adam", make<Adam>(AdamOptions{.learning_rate = lr, .weight_decay = 0.1}),
       [=](double& p, double g, double* s, int t) {
         g += 0.1 * p;
         s[0] = 0.9 * s[0] + 0.1 * g;
         s[1] = 0.999 * s[1] + 0.001 * g * g;
         p -= lr * (s[0] / (1 - std::pow(0.9, t))) /
              (std::sqrt(s[1] / (1 - std::pow(0.999, t))) + 1e-8);
       }},
      {"adam, large epsilon, maximize",
       make<Adam>(AdamOptions{
           .learning_rate = lr, .beta1 = 0.5, .beta2 = 0.9, .epsilon = 0.3, .maximize = true}),
       [=](double& p, double g, double* s, int t) {
         s[0] = 0.5 * s[0] - 0.5 * g;
         s[1] = 0.9 * s[1] + 0.1 * g * g;
         p -= lr * (s[0] / (1 - std::pow(0.5, t))) /
              (std::sqrt(s[1] / (1 - std::pow(0.9, t))) + 0.3);
       }},
      {"adamw", make<AdamW>(AdamWOptions{.learning_rate = lr}),
       [=](double& p, double g, double* s, int t) {
         p *= 1 - lr * 0.01;
         s[0] = 0.9 * s[0] + 0.1 * g;
         s[1] = 0.999 * s[1] + 0.001 * g * g;
         p -= lr * (s[0] / (1 - std::pow(0.9, t))) /
              (std::sqrt(s[1] / (1 - std::pow(0.999, t))) + 1e-8);
       }},
      {"amsgrad", make<Adam>(AdamOptions{.learning_rate = lr, .beta2 = 0.5, .amsgrad = true}),
       [=](double& p, double g, double* s, int t) {
         s[0] = 0.9 * s[0] + 0.1 * g;
         s[1] = 0.5 * s[1] + 0.5 * g * g;
         s[2] = std::max(s[2], s[1]);
         p -= lr * (s[0] / (1 - std::pow(0.9, t))) /
              (std::sqrt(s[2] / (1 - std::pow(0.5, t))) + 1e-8);
       }},
      {"adagrad",
       make<Adagrad>(AdagradOptions{
           .learning_rate = lr, .learning_rate_decay = 0.2, .initial_accumulator = 0.5}),
       [=](double& p, double g, double* s, int t) {
         s[0] += g * g;
         p -= lr / (1 + (t - 1) * 0.2) * g / (std::sqrt(s[0]) + 1e-10);
       },
       0.5},
  };
}

}  // namespace

// --- rules ---

TEST_CASE("every rule follows its formula for 20 steps, in float32 and float64, for odd sizes") {
  for (const Rule& rule : rules()) {
    for (DType dtype : {DType::float32, DType::float64}) {
      INFO(rule.name << " " << name(dtype));
      ParameterList parameters = parameters_of(kShapes, dtype);
      std::unique_ptr<Optimizer> optimizer = rule.make(parameters);
      struct Element {
        double p;
        double s[3];
      };
      std::vector<std::vector<Element>> expected;
      for (const NamedVar& p : parameters) {
        std::vector<Element>& elements = expected.emplace_back();
        for (double x : p.var.value().to_vector<double>()) {
          elements.push_back({x, {rule.first_state, rule.first_state, rule.first_state}});
        }
      }
      double worst = 0;
      for (int t = 1; t <= 20; ++t) {
        set_gradients(parameters, 100 * static_cast<unsigned>(t));
        optimizer->step();
        for (std::size_t i = 0; i < parameters.size(); ++i) {
          std::vector<double> g = parameters[i].var.grad().value().to_vector<double>();
          std::vector<double> got = parameters[i].var.value().to_vector<double>();
          for (std::size_t k = 0; k < g.size(); ++k) {
            Element& element = expected[i][k];
            rule.reference(element.p, g[k], element.s, t);
            worst = std::max(worst, std::abs(got[k] - element.p));  // parameters are of size 1
          }
        }
        optimizer->zero_grad();
      }
      CHECK(worst < (dtype == DType::float32 ? 1e-5 : 1e-13));
      CHECK(optimizer->steps() == 20);
    }
  }
}

TEST_CASE("an update writes through a strided parameter and reads a strided gradient") {
  Tensor storage = numbers({5, 3}, DType::float32, 1);
  Tensor gradient = numbers({3, 5}, DType::float32, 2);
  Var plain = parameter(storage.transpose(0, 1).clone());
  Var strided = parameter(storage.transpose(0, 1));
  plain.set_grad(gradient);
  strided.set_grad(gradient.transpose(0, 1).clone().transpose(0, 1));
  Adam a({{"w", plain}});
  Adam b({{"w", strided}});
  a.step();
  b.step();
  CHECK(same_bits(plain.value(), strided.value()));
  CHECK(same_bits(plain.value(), storage.transpose(0, 1)));
}

TEST_CASE("a centered RMSprop survives a gradient that never changes") {
  // v - m^2 becomes rounding noise, of either sign.
  Var w = parameter(Tensor::zeros({64}));
  Tensor gradient = numbers({64}, DType::float32, 1);
  RmsProp optimizer({{"w", w}}, {.alpha = 0.9, .epsilon = 1, .centered = true});
  for (int t = 0; t < 400; ++t) {
    w.set_grad(gradient);
    optimizer.step();
  }
  for (float x : w.value().to_vector<float>()) CHECK(std::isfinite(x));
}

TEST_CASE("results do not depend on the number of threads") {
  Tensor start = numbers({50001}, DType::float32, 3);
  std::vector<Tensor> results;
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    ParameterList list = {{"w", parameter(start.clone())}};
    Adam adam(list);
    for (unsigned t = 0; t < 3; ++t) {
      set_gradients(list, t);
      clip_grad_norm(list, 1);
      adam.step();
    }
    results.push_back(list[0].var.value());
  }
  set_num_threads(1);
  CHECK(same_bits(results[0], results[1]));
}

TEST_CASE("update rules have no kernels of their gradients") {
  CHECK(pointwise_kernel<rule::Adam>().backward == nullptr);
  CHECK(pointwise_kernel<rule::Sgd>().backward == nullptr);
}

// --- the walk over parameters ---

TEST_CASE("a step allocates nothing on the heap, and neither do clipping and zero_grad") {
  if (!can_count_allocations()) return;
  CHECK(allocations() > 0);
  for (const Rule& rule : rules()) {
    INFO(rule.name);
    ParameterList parameters = parameters_of(kShapes, DType::float32);
    std::vector<Var> gradients;
    for (const NamedVar& p : parameters)
      gradients.emplace_back(numbers(p.var.shape(), DType::float32, 5));
    std::unique_ptr<Optimizer> optimizer = rule.make(parameters);
    Cosine schedule({.steps = 5});
    auto train = [&] {
      for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].var.set_grad(gradients[i]);
      clip_grad_norm(optimizer->parameters(), 0.5);
      clip_grad_norm(optimizer->parameters(), 0.4, kInf);
      clip_grad_norm_each(optimizer->parameters(), 0.1, 3);
      clip_grad_value(optimizer->parameters(), 0.01);
      schedule.apply(*optimizer, optimizer->steps());
      optimizer->step();
      optimizer->zero_grad();
    };
    train();
    train();
    std::int64_t before = allocations();
    std::int64_t pool_before = memory::stats().heap_calls;
    for (int t = 0; t < 5; ++t) train();
    CHECK(memory::stats().heap_calls == pool_before);
    CHECK(allocations() == before);
  }
}

// --- errors ---

TEST_CASE("lists and options that make no sense are refused by name") {
  Var w = parameter(Tensor::zeros({2}));
  Var v = parameter(Tensor::zeros({2}));
  CHECK(message_of([&] { Adam(ParameterList{}); }) ==
        "adam: the parameter list of group 0 is empty; give the parameters of a model, e.g. "
        "parameters(lstm, head)");
  CHECK(message_of([&] { Adam(std::vector<Group<AdamOptions>>{}); }) ==
        "adam: no parameter groups were given; give at least one, {parameters, options}");
  CHECK(message_of([&] {
          Sgd({{"a", w}, {"b", v}, {"c", w}});
        }) ==
        "sgd: one parameter was given twice, as \"a\" and as \"c\"; list a shared parameter once");
  CHECK(message_of([&] {
          Sgd({{{{"a", w}}, {}}, {{{"b", w}}, {}}});
        }) ==
        "sgd: one parameter was given twice, as \"a\" and as \"b\"; list a shared parameter once");
  CHECK(message_of([&] {
          Sgd({{"a", w}, {"a", v}});
        }) ==
        "sgd: two parameters are named \"a\", but saved state goes by name; give each model its "
        "own prefix");
  CHECK(message_of([&] {
          Nag({{"a", Var(Tensor::zeros({2}))}});
        }) ==
        "nag: \"a\" is not a parameter but a constant or a computed value; make it by "
        "parameter(tensor)");
  CHECK(message_of([&] {
          Nag({{"a", Var()}});
        }) == "nag: \"a\" is not a parameter but undefined; make it by parameter(tensor)");
  CHECK(message_of([&] {
          Nag({{"a", parameter(Tensor::zeros({1}).expand({3}))}});
        }) ==
        "nag: \"a\" (float32[3]) is an expanded view, whose elements cannot be updated one by one; "
        "make it by "
        "parameter(tensor.clone())");
  ParameterList list = {{"w", w}};
  CHECK(message_of([&] { Adam(list, {.learning_rate = -0.1}); }) ==
        "adam: learning_rate is -0.1; expected a finite number, 0 or above");
  CHECK(
      has(message_of([&] { Adam(list, {.learning_rate = kNan}); }), "adam: learning_rate is nan"));
  CHECK(message_of([&] { Adam(list, {.beta1 = 1}); }) ==
        "adam: beta1 is 1; expected a number from 0 to below 1");
  CHECK(has(message_of([&] { Adam(list, {.beta2 = -0.1}); }), "adam: beta2 is -0.1"));
  CHECK(has(message_of([&] { AdamW(list, {.epsilon = -1}); }), "adamw: epsilon is -1"));
  CHECK(
      has(message_of([&] { AdamW(list, {.weight_decay = kInf}); }), "adamw: weight_decay is inf"));
  CHECK(has(message_of([&] { Sgd(list, {.momentum = -1}); }), "sgd: momentum is -1"));
  CHECK(has(message_of([&] { Sgd(list, {.dampening = kNan}); }), "sgd: dampening is nan"));
  CHECK(message_of([&] { Nag(list, {.momentum = 0}); }) ==
        "nag: momentum is 0; expected a finite number above 0; without momentum use optim::Sgd");
  CHECK(has(message_of([&] { RmsProp(list, {.alpha = 1.5}); }), "rmsprop: alpha is 1.5"));
  CHECK(has(message_of([&] { Adagrad(list, {.learning_rate_decay = -1}); }),
            "adagrad: learning_rate_decay is -1"));
  Adam adam(list);
  CHECK(has(message_of([&] { adam.set_learning_rate(kNan); }), "adam: learning_rate is nan"));
  CHECK(adam.learning_rate() == 1e-3);
}

// --- saved state ---

TEST_CASE("training continues bit for bit from a saved state") {
  for (const Rule& rule : rules()) {
    INFO(rule.name);
    ParameterList parameters = parameters_of({{5}, {2, 3}}, DType::float32);
    std::unique_ptr<Optimizer> optimizer = rule.make(parameters);
    auto train = [](Optimizer& o, unsigned seed) {
      for (unsigned t = seed; t < seed + 5; ++t) {
        set_gradients(o.parameters(), t);
        if (t % 2 == 0) o.parameters()[1].var.set_grad(Var());  // step counts differ
        o.step();
      }
    };
    train(*optimizer, 0);
    optimizer->set_learning_rate(0.03);
    StateDict saved = optimizer->state_dict();
    std::vector<Tensor> values;
    for (const NamedVar& p : parameters) values.push_back(p.var.value().clone());
    train(*optimizer, 10);

    ParameterList copies = parameters_of({{5}, {2, 3}}, DType::float32);
    std::unique_ptr<Optimizer> other = rule.make(copies);
    train(*other, 21);  // a state with other step counts, to be overwritten
    for (std::size_t i = 0; i < 2; ++i) copies[i].var.set_value(values[i]);
    other->load_state_dict(saved);
    CHECK(other->steps() == 5);
    CHECK(other->learning_rate() == 0.03);
    train(*other, 10);
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(same_bits(parameters[i].var.value(), copies[i].var.value()));
    }
    StateDict a = optimizer->state_dict();
    StateDict b = other->state_dict();
    REQUIRE(a.size() == b.size());
    for (std::size_t k = 0; k < a.size(); ++k) {
      CHECK(a[k].name == b[k].name);
      CHECK(same_bits(a[k].tensor, b[k].tensor));
    }
  }
}

}  // namespace tapeloop::optim
