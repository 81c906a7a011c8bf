// SPDX-License-Identifier: MIT
// Learning-rate schedules: functions of the step, and one that watches a metric (ReduceOnPlateau).
// A step is whatever the caller counts, optimizer steps or epochs, from 0.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <vector>

#include "tapeloop/optim/optimizer.h"

namespace tapeloop::optim {

// A learning rate that depends on nothing but the step. Settings are checked on construction.
//   optim::LinearWarmup schedule({.steps = 200}, optim::Cosine({.steps = 5000}));
//   for (...) { schedule.apply(adam, adam.steps()); ...; adam.step(); }
class Schedule {
 public:
  virtual ~Schedule() = default;
  // The rate at a step where `initial` is the rate at the start; for 1, the factor. Throws where step < 0.
  double at(std::int64_t step, double initial = 1) const;
  // Sets the rate of each group by its own initial_learning_rate().
  void apply(Optimizer& optimizer, std::int64_t step) const;

 private:
  virtual double rate(std::int64_t step, double initial) const = 0;
};

// lr * factor^(step / every), the division rounded down.
struct StepDecayOptions {
  std::int64_t every = 0;  // steps; must be given
  double factor = 0.1;
};
class StepDecay : public Schedule {
 public:
  explicit StepDecay(const StepDecayOptions& options);

 private:
  double rate(std::int64_t step, double initial) const override;
  StepDecayOptions options_;
};

// lr * factor^(how many of the milestones are <= step).
struct MultiStepOptions {
  std::vector<std::int64_t> milestones;  // rising
  double factor = 0.1;
};
class MultiStep : public Schedule {
 public:
  explicit MultiStep(const MultiStepOptions& options);

 private:
  double rate(std::int64_t step, double initial) const override;
  MultiStepOptions options_;
};

// lr * factor^step.
struct ExponentialOptions {
  double factor = 0;  // must be given, above 0
};
class Exponential : public Schedule {
 public:
  explicit Exponential(const ExponentialOptions& options);

 private:
  double rate(std::int64_t step, double initial) const override;
  ExponentialOptions options_;
};

// minimum + (lr - minimum) (1 + cos(pi step / steps)) / 2; from `steps` on the minimum. With restarts the curve begins
// again there instead, each time `stretch` times as long. Loshchilov & Hutter 2017, arXiv:1608.03983.
struct CosineOptions {
  std::int64_t steps = 0;  // of the first curve; must be given
  double minimum = 0;      // a rate, the same for all groups
  bool restarts = false;
  std::int64_t stretch = 1;
};
class Cosine : public Schedule {
 public:
  explicit Cosine(const CosineOptions& options);

 private:
  double rate(std::int64_t step, double initial) const override;
  CosineOptions options_;
};

// For the first `steps` steps, lr * (start + (1 - start) step / steps); then the schedule `then` from its own step 0,
// or lr where none is given. The start must be above 0, or the first step would do nothing.
struct LinearWarmupOptions {
  std::int64_t steps = 0;  // must be given
  double start = 1.0 / 3;  // a factor, as PyTorch's LinearLR
};
class LinearWarmup : public Schedule {
 public:
  explicit LinearWarmup(const LinearWarmupOptions& options);
  template <std::derived_from<Schedule> Then>
  LinearWarmup(const LinearWarmupOptions& options, const Then& then) : LinearWarmup(options) {
    then_ = std::make_shared<Then>(then);
  }

 private:
  double rate(std::int64_t step, double initial) const override;
  LinearWarmupOptions options_;
  std::shared_ptr<const Schedule> then_;
};

enum class Better { lower, higher };
enum class Threshold { relative, absolute };

struct ReduceOnPlateauOptions {
  Better better =
      Better::lower;    // which metrics are good: lower for a loss, higher for an accuracy
  double factor = 0.1;  // of every reduction, below 1
  int patience =
      10;  // so many updates in a row without improvement are borne, the next one reduces
  double threshold = 1e-4;  // how much better than the best counts as an improvement
  Threshold threshold_mode = Threshold::relative;  // best * (1 -+ threshold), or best -+ threshold
  int cooldown = 0;       // updates after a reduction during which bad ones are not counted
  double minimum = 0;     // no group's rate goes below it
  double epsilon = 1e-8;  // a change of the rate no larger than this is not made
};

// Lowers the learning rates when a metric has stopped improving; call update() after each validation.
// NaN is never an improvement.
class ReduceOnPlateau {
 public:
  explicit ReduceOnPlateau(const ReduceOnPlateauOptions& options = {});
  // Takes the newest metric; returns whether it lowered a rate. A NaN is no improvement.
  bool update(Optimizer& optimizer, double metric);
  double best() const { return best_; }  // +-infinity before the first update

  // "best" (float64), "bad_updates" and "cooldown_left" (int64). The rates are part of the optimizer's state.
  StateDict state_dict() const;
  // Throws Error, and changes nothing, where `state` is not of this form.
  void load_state_dict(const StateDict& state);

 private:
  bool improves(double metric) const;
  ReduceOnPlateauOptions options_;
  double best_;
  std::int64_t bad_updates_ = 0;
  std::int64_t cooldown_left_ = 0;
};

}  // namespace tapeloop::optim
