// SPDX-License-Identifier: MIT
// Learning-rate schedules: the formulas, and the checks of their settings.
#include "tapeloop/optim/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::optim {
namespace {

template <class T>
void require(bool valid, const char* schedule, const char* setting, const T& value,
             const char* expected) {
  if (!valid) fail(schedule, fmt::format("{} is {}; expected {}", setting, value, expected));
}

void require_factor(const char* schedule, double factor) {
  require(std::isfinite(factor) && factor > 0, schedule, "factor", factor,
          "a finite number above 0");
}

}  // namespace

double Schedule::at(std::int64_t step, double initial) const {
  require(step >= 0, "schedule", "step", step, "0 or above");
  return rate(step, initial);
}

void Schedule::apply(Optimizer& optimizer, std::int64_t step) const {
  for (int group = 0; group < optimizer.groups(); ++group) {
    optimizer.set_learning_rate(at(step, optimizer.initial_learning_rate(group)), group);
  }
}

StepDecay::StepDecay(const StepDecayOptions& options) : options_(options) {
  require(options.every > 0, "step_decay", "every", options.every, "a number of steps, 1 or above");
  require_factor("step_decay", options.factor);
}

double StepDecay::rate(std::int64_t step, double initial) const {
  std::int64_t falls = step / options_.every;
  return initial * std::pow(options_.factor, static_cast<double>(falls));
}

MultiStep::MultiStep(const MultiStepOptions& options) : options_(options) {
  const std::vector<std::int64_t>& milestones = options.milestones;
  for (std::size_t i = 0; i < milestones.size(); ++i) {
    require(milestones[i] > 0 && (i == 0 || milestones[i] > milestones[i - 1]), "multi_step",
            "a milestone", milestones[i], "rising numbers of steps above 0");
  }
  require_factor("multi_step", options.factor);
}

double MultiStep::rate(std::int64_t step, double initial) const {
  const std::vector<std::int64_t>& milestones = options_.milestones;
  auto passed = std::upper_bound(milestones.begin(), milestones.end(), step) - milestones.begin();
  return initial * std::pow(options_.factor, static_cast<double>(passed));
}

Exponential::Exponential(const ExponentialOptions& options) : options_(options) {
  require_factor("exponential", options.factor);
}

double Exponential::rate(std::int64_t step, double initial) const {
  return initial * std::pow(options_.factor, static_cast<double>(step));
}

Cosine::Cosine(const CosineOptions& options) : options_(options) {
  require(options.steps > 0, "cosine", "steps", options.steps, "a number of steps, 1 or above");
  require(std::isfinite(options.minimum) && options.minimum >= 0, "cosine", "minimum",
          options.minimum, "a finite rate, 0 or above");
  require(options.stretch >= 1, "cosine", "stretch", options.stretch, "1 or above");
}

double Cosine::rate(std::int64_t step, double initial) const {
  std::int64_t length = options_.steps;
  if (options_.restarts && options_.stretch == 1) {
    step %= length;
  } else if (options_.restarts) {
    while (step >= length) {
      step -= length;
      if (__builtin_mul_overflow(length, options_.stretch, &length)) break;  // longer than any step
    }
  } else if (step >= length) {
    return options_.minimum;
  }
  double turn = std::numbers::pi * static_cast<double>(step) / static_cast<double>(length);
  return options_.minimum + (initial - options_.minimum) * (1 + std::cos(turn)) / 2;
}

LinearWarmup::LinearWarmup(const LinearWarmupOptions& options) : options_(options) {
  require(options.steps > 0, "linear_warmup", "steps", options.steps,
          "a number of steps, 1 or above");
  require(options.start > 0 && options.start <= 1, "linear_warmup", "start", options.start,
          "a factor above 0, at most 1");
}

double LinearWarmup::rate(std::int64_t step, double initial) const {
  if (step < options_.steps) {
    double done = static_cast<double>(step) / static_cast<double>(options_.steps);
    return initial * (options_.start + (1 - options_.start) * done);
  }
  return then_ == nullptr ? initial : then_->at(step - options_.steps, initial);
}

// --- ReduceOnPlateau ---

ReduceOnPlateau::ReduceOnPlateau(const ReduceOnPlateauOptions& options)
    : options_(options),
      best_(options.better == Better::lower ? std::numeric_limits<double>::infinity()
                                            : -std::numeric_limits<double>::infinity()) {
  const char* name = "reduce_on_plateau";
  require(options.factor > 0 && options.factor < 1, name, "factor", options.factor,
          "a number between 0 and 1");
  require(options.patience >= 0, name, "patience", options.patience, "0 or above");
  require(std::isfinite(options.threshold) && options.threshold >= 0, name, "threshold",
          options.threshold, "a finite number, 0 or above");
  require(options.cooldown >= 0, name, "cooldown", options.cooldown, "0 or above");
  require(std::isfinite(options.minimum) && options.minimum >= 0, name, "minimum", options.minimum,
          "a finite rate, 0 or above");
  require(std::isfinite(options.epsilon) && options.epsilon >= 0, name, "epsilon", options.epsilon,
          "a finite number, 0 or above");
}

bool ReduceOnPlateau::improves(double metric) const {
  double sign = options_.better == Better::lower ? -1 : 1;
  double bar = options_.threshold_mode == Threshold::relative
                   ? best_ * (1 + sign * options_.threshold)
                   : best_ + sign * options_.threshold;
  return options_.better == Better::lower ? metric < bar : metric > bar;
}

bool ReduceOnPlateau::update(Optimizer& optimizer, double metric) {
  if (improves(metric)) {
    best_ = metric;
    bad_updates_ = 0;
  } else {
    ++bad_updates_;
  }
  if (cooldown_left_ > 0) {
    --cooldown_left_;
    bad_updates_ = 0;
  }
  if (bad_updates_ <= options_.patience) return false;
  bad_updates_ = 0;
  cooldown_left_ = options_.cooldown;
  bool lowered = false;
  for (int group = 0; group < optimizer.groups(); ++group) {
    double before = optimizer.learning_rate(group);
    double after = std::max(before * options_.factor, options_.minimum);
    if (before - after > options_.epsilon) {
      optimizer.set_learning_rate(after, group);
      lowered = true;
    }
  }
  return lowered;
}

StateDict ReduceOnPlateau::state_dict() const {
  return {{"best", Tensor::from<double>({}, {best_})},
          {"bad_updates", Tensor::from<std::int64_t>({}, {bad_updates_})},
          {"cooldown_left", Tensor::from<std::int64_t>({}, {cooldown_left_})}};
}

void ReduceOnPlateau::load_state_dict(const StateDict& state) {
  StateDict expected = state_dict();
  std::string problems;
  double values[3] = {};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const NamedTensor& want = expected[i];
    auto found = std::find_if(state.begin(), state.end(),
                              [&](const NamedTensor& item) { return item.name == want.name; });
    if (found == state.end()) {
      problems +=
          fmt::format("\n  the saved state has no \"{}\" ({})", want.name, want.tensor.describe());
    } else if (found->tensor.describe() != want.tensor.describe()) {
      problems += fmt::format("\n  \"{}\" is {}, expected {}", want.name, found->tensor.describe(),
                              want.tensor.describe());
    } else {
      values[i] = found->tensor.item();
      bool valid = i == 0 ? !std::isnan(values[i]) : values[i] >= 0;
      if (!valid) {
        problems += fmt::format("\n  \"{}\" is {}, expected {}", want.name, values[i],
                                i == 0 ? "a number" : "0 or above");
      }
    }
  }
  for (const NamedTensor& item : state) {
    bool known = std::any_of(expected.begin(), expected.end(),
                             [&](const NamedTensor& e) { return e.name == item.name; });
    auto same = std::count_if(state.begin(), state.end(),
                              [&](const NamedTensor& s) { return s.name == item.name; });
    if (!known)
      problems += fmt::format(
          "\n  the saved state has \"{}\", which a plateau schedule does not have", item.name);
    if (known && same > 1)
      problems += fmt::format("\n  the saved state has \"{}\" twice", item.name);
  }
  if (!problems.empty()) {
    fail("reduce_on_plateau",
         "load_state_dict: nothing was loaded; give the state that state_dict() returned:" +
             problems);
  }
  best_ = values[0];
  bad_updates_ = static_cast<std::int64_t>(values[1]);
  cooldown_left_ = static_cast<std::int64_t>(values[2]);
}

}  // namespace tapeloop::optim
