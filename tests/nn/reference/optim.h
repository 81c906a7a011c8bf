// SPDX-License-Identifier: MIT
// Optimizers and learning-rate schedules in tests/reference. Settings and names are PyTorch's.
#pragma once

#include <functional>
#include <memory>

#include "tapeloop/optim/adagrad.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/nag.h"
#include "tapeloop/optim/rmsprop.h"
#include "tapeloop/optim/schedule.h"
#include "tapeloop/optim/sgd.h"
#include "tests/nn/reference/case.h"

namespace reference {

// --- schedules ---

// The schedule of these settings; `own` comes before the names of its settings. Null without a
// "scheduler".
inline std::unique_ptr<optim::Schedule> make_schedule(const Case& c, const std::string& own = "") {
  std::string kind = c.text(own + "scheduler", c.text(own + "schedule", ""));
  if (kind.empty()) return nullptr;
  const double factor = c.number(own + "gamma", 0.1);
  const double minimum = c.number(own + "eta_min", 0);
  if (kind == "StepLR") {
    return std::make_unique<optim::StepDecay>(
        optim::StepDecayOptions{.every = c.integer(own + "step_size", 0), .factor = factor});
  }
  if (kind == "MultiStepLR") {
    return std::make_unique<optim::MultiStep>(
        optim::MultiStepOptions{.milestones = c.integers_of(own + "milestones"), .factor = factor});
  }
  if (kind == "ExponentialLR")
    return std::make_unique<optim::Exponential>(optim::ExponentialOptions{.factor = factor});
  if (kind == "CosineAnnealingLR") {
    return std::make_unique<optim::Cosine>(
        optim::CosineOptions{.steps = c.integer(own + "T_max", 0), .minimum = minimum});
  }
  if (kind == "CosineAnnealingWarmRestarts") {
    return std::make_unique<optim::Cosine>(
        optim::CosineOptions{.steps = c.integer(own + "T_0", 0),
                             .minimum = minimum,
                             .restarts = true,
                             .stretch = c.integer(own + "T_mult", 1)});
  }
  if (kind == "LinearLR" && c.number(own + "end_factor", 1) == 1) {
    return std::make_unique<optim::LinearWarmup>(
        optim::LinearWarmupOptions{.steps = c.integer(own + "total_iters", 5),
                                   .start = c.number(own + "start_factor", 1.0 / 3)});
  }
  throw Unknown("scheduler " + kind);
}

inline double learning_rate(const Case& c, const std::string& own = "") {
  for (const std::string& name :
       {own + "lr", own + "base_lr", std::string("lr"), std::string("base_lr")}) {
    if (c.set(name)) return c.number(name, 0);
  }
  throw Unknown("a schedule without a learning rate lr");
}

// The rates that a metric causes: one before each update with "input.metrics", and the last one if
// `count` has it.
inline std::vector<double> plateau_rates(Case& c, std::int64_t count) {
  const optim::ReduceOnPlateauOptions options{
      .better = c.text("mode", "min") == "max" ? optim::Better::higher : optim::Better::lower,
      .factor = c.number("factor", 0.1),
      .patience = static_cast<int>(c.integer("patience", 10)),
      .threshold = c.number("threshold", 1e-4),
      .threshold_mode = c.text("threshold_mode", "rel") == "abs" ? optim::Threshold::absolute
                                                                 : optim::Threshold::relative,
      .cooldown = static_cast<int>(c.integer("cooldown", 0)),
      .minimum = c.number("min_lr", 0),
      .epsilon = c.number("eps", 1e-8)};
  optim::ReduceOnPlateau plateau(options);
  const Var p = parameter(c.full({1}, 0));
  optim::Sgd sgd({{"p", p}}, {.learning_rate = learning_rate(c)});
  std::vector<double> rates;
  for (const double metric : c.tensor("input.metrics").to_vector<double>()) {
    rates.push_back(sgd.learning_rate());
    plateau.update(sgd, metric);
  }
  if (count > static_cast<std::int64_t>(rates.size())) rates.push_back(sgd.learning_rate());
  return rates;
}

// Every output is a trajectory: the rate before each step, from step 0. Settings of one output
// stand under its name, or at the top.
inline Outputs learning_rates(Case& c) {
  Outputs result;
  for (const std::string& name : c.names("output.")) {
    const std::int64_t count = c.stored("output." + name).numel();
    std::vector<double> rates;
    if (c.text("scheduler", "") == "ReduceLROnPlateau") {
      rates = plateau_rates(c, count);
    } else {
      const std::string own = c.set(name + ".scheduler") ? name + "." : "";
      const std::unique_ptr<optim::Schedule> schedule = make_schedule(c, own);
      for (std::int64_t step = 0; step < count; ++step)
        rates.push_back(schedule->at(step, learning_rate(c, own)));
    }
    result[name] =
        Var(Tensor::from({static_cast<std::int64_t>(rates.size())}, rates));  // float64 always
  }
  return result;
}

// --- optimizers ---

inline std::unique_ptr<optim::Optimizer> make_optimizer(const Case& c,
                                                        const ParameterList& parameters) {
  const std::string kind = c.text("optimizer", "");
  const double rate = c.number("lr", 0);
  const double momentum = c.number("momentum", 0);
  const double decay = c.number("weight_decay", 0);
  const bool maximize = c.flag("maximize");
  const double epsilon = c.number("eps", kind == "Adagrad" ? 1e-10 : 1e-8);
  if (kind == "NAG" || (kind == "SGD" && c.flag("nesterov"))) {
    return std::make_unique<optim::Nag>(parameters, optim::NagOptions{.learning_rate = rate,
                                                                      .momentum = momentum,
                                                                      .weight_decay = decay,
                                                                      .maximize = maximize});
  }
  if (kind == "SGD") {
    return std::make_unique<optim::Sgd>(parameters,
                                        optim::SgdOptions{.learning_rate = rate,
                                                          .momentum = momentum,
                                                          .dampening = c.number("dampening", 0),
                                                          .weight_decay = decay,
                                                          .maximize = maximize});
  }
  if (kind == "RMSprop") {
    return std::make_unique<optim::RmsProp>(parameters,
                                            optim::RmsPropOptions{.learning_rate = rate,
                                                                  .alpha = c.number("alpha", 0.99),
                                                                  .epsilon = epsilon,
                                                                  .momentum = momentum,
                                                                  .centered = c.flag("centered"),
                                                                  .weight_decay = decay,
                                                                  .maximize = maximize});
  }
  if (kind == "Adam") {
    return std::make_unique<optim::Adam>(parameters,
                                         optim::AdamOptions{.learning_rate = rate,
                                                            .beta1 = c.number("betas.0", 0.9),
                                                            .beta2 = c.number("betas.1", 0.999),
                                                            .epsilon = epsilon,
                                                            .weight_decay = decay,
                                                            .amsgrad = c.flag("amsgrad"),
                                                            .maximize = maximize});
  }
  if (kind == "AdamW") {
    return std::make_unique<optim::AdamW>(
        parameters, optim::AdamWOptions{.learning_rate = rate,
                                        .beta1 = c.number("betas.0", 0.9),
                                        .beta2 = c.number("betas.1", 0.999),
                                        .epsilon = epsilon,
                                        .weight_decay = c.number("weight_decay", 1e-2),
                                        .amsgrad = c.flag("amsgrad"),
                                        .maximize = maximize});
  }
  if (kind == "Adagrad") {
    return std::make_unique<optim::Adagrad>(
        parameters,
        optim::AdagradOptions{.learning_rate = rate,
                              .learning_rate_decay = c.number("lr_decay", 0),
                              .initial_accumulator = c.number("initial_accumulator_value", 0),
                              .epsilon = epsilon,
                              .weight_decay = decay,
                              .maximize = maximize});
  }
  throw Unknown("optimizer " + kind);
}

// Steps of an optimizer on the loss of a model, which reads the parameters of `c` at each call.
// Outputs: the losses and gradients of all steps, the rates, and each parameter before step 1 and
// after each step.
inline Outputs optimizing(Case& c, const std::function<Var(Case&)>& model) {
  {
    const Tape tape;
    model(c);
  }  // makes the parameters
  const ParameterList parameters = c.parameters();
  const std::unique_ptr<optim::Optimizer> optimizer = make_optimizer(c, parameters);
  const std::unique_ptr<optim::Schedule> schedule = make_schedule(c);
  std::map<std::string, std::vector<Var>> rows;
  const auto note = [&rows](const std::string& name, const Var& value) {
    rows[name].push_back(Var(value.value().clone()));
  };
  const std::int64_t steps = c.integer("steps", 20);
  for (const NamedVar& p : parameters) note("traj." + p.name, p.var);
  for (std::int64_t step = 0; step < steps; ++step) {
    if (schedule != nullptr) schedule->apply(*optimizer, step);
    note("lrs", Var(Tensor::full({}, optimizer->learning_rate(), DType::float64)));
    Tape tape;
    const Var loss = model(c);
    note("losses", loss);
    optimizer->zero_grad();
    tape.backward(loss);
    for (const NamedVar& p : parameters) note("grad." + p.name, p.var.grad());
    optimizer->step();
    for (const NamedVar& p : parameters) note("traj." + p.name, p.var);
  }
  Outputs result;
  for (const auto& [name, values] : rows) result[name] = stack(values);
  return result;
}

}  // namespace reference
