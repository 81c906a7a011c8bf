// SPDX-License-Identifier: MIT
// Learning-rate schedules: functions of the step, and one that observes a metric (ReduceOnPlateau).
// The caller counts the steps, optimizer steps or epochs, from 0.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <vector>

#include "tapeloop/optim/optimizer.h"

namespace tapeloop::optim {

// A learning rate that depends only on the step. The constructor checks the settings.
//   optim::LinearWarmup schedule({.steps = 200}, optim::Cosine({.steps = 5000}));
//   for (...) { schedule.apply(adam, adam.steps()); ...; adam.step(); }
class Schedule {
 public:
  virtual ~Schedule() = default;
  // The rate at a step if the rate at the start is `initial`; for 1, the
  // factor. Throws if step < 0.
  double at(std::int64_t step, double initial = 1) const;
  // Sets the rate of each group, starting from the group's initial_learning_rate().
  void apply(Optimizer& optimizer, std::int64_t step) const;

 private:
  virtual double rate(std::int64_t step, double initial) const = 0;
};

// lr * factor^floor(step / every)
struct StepDecayOptions {
  std::int64_t every = 0;  // steps; must be given
  double factor = 0.1;     // of each decay
};
// As StepDecayOptions says.
class StepDecay : public Schedule {
 public:
  explicit StepDecay(const StepDecayOptions& options);

 private:
  double rate(std::int64_t step, double initial) const override;
  StepDecayOptions options_;
};

// lr * factor^(number of milestones <= step)
struct MultiStepOptions {
  std::vector<std::int64_t> milestones;  // increasing
  double factor = 0.1;                   // at each milestone
};
// As MultiStepOptions says.
class MultiStep : public Schedule {
 public:
  explicit MultiStep(const MultiStepOptions& options);

 private:
  double rate(std::int64_t step, double initial) const override;
  MultiStepOptions options_;
};

// lr * factor^step
struct ExponentialOptions {
  double factor = 0;  // must be given, above 0
};
// As ExponentialOptions says.
class Exponential : public Schedule {
 public:
  explicit Exponential(const ExponentialOptions& options);

 private:
  double rate(std::int64_t step, double initial) const override;
  ExponentialOptions options_;
};

// minimum + (lr - minimum) (1 + cos(pi step / steps)) / 2; from `steps` on, the minimum. With
// restarts the curve begins again at `steps`, each time `stretch` times as long.
// Loshchilov & Hutter 2017, arXiv:1608.03983.
struct CosineOptions {
  std::int64_t steps = 0;    // of the first curve; must be given
  double minimum = 0;        // a rate, the same for all groups
  bool restarts = false;     // begins a new curve at the end of each one
  std::int64_t stretch = 1;  // factor from the length of a curve to that of the next
};
// As CosineOptions says.
class Cosine : public Schedule {
 public:
  explicit Cosine(const CosineOptions& options);

 private:
  double rate(std::int64_t step, double initial) const override;
  CosineOptions options_;
};

// For the first `steps` steps, lr * (start + (1 - start) step / steps). Then the schedule
// `then` from its step 0, or lr if there is none. `start` must be above 0, or the first
// step would have no effect.
struct LinearWarmupOptions {
  std::int64_t steps = 0;  // must be given
  double start = 1.0 / 3;  // a factor, as PyTorch's LinearLR
};
// As LinearWarmupOptions says.
class LinearWarmup : public Schedule {
 public:
  explicit LinearWarmup(const LinearWarmupOptions& options);
  // After the warm-up `then` begins, from its step 0.
  template <std::derived_from<Schedule> Then>
  LinearWarmup(const LinearWarmupOptions& options, const Then& then) : LinearWarmup(options) {
    then_ = std::make_shared<Then>(then);
  }

 private:
  double rate(std::int64_t step, double initial) const override;
  LinearWarmupOptions options_;
  std::shared_ptr<const Schedule> then_;
};

// Which values of a metric are better.
enum class Better { lower, higher };
// What ReduceOnPlateauOptions::threshold is relative to.
enum class Threshold { relative, absolute };

struct ReduceOnPlateauOptions {
  // Which metrics are better: lower for a loss, higher for an accuracy.
  Better better = Better::lower;
  double factor = 0.1;  // of each reduction, below 1
  // After more than this many updates in a row without improvement the rate is reduced.
  int patience = 10;
  // Minimum difference from the best metric that counts as an improvement.
  double threshold = 1e-4;
  Threshold threshold_mode = Threshold::relative;  // best * (1 -+ threshold), or best -+ threshold
  int cooldown = 0;       // for this many updates after a reduction, bad ones are not counted
  double minimum = 0;     // lower bound of the rates
  double epsilon = 1e-8;  // a reduction of a rate by at most this much is not made
};

// Reduces the learning rates when a metric stops improving; call update() after each validation.
class ReduceOnPlateau {
 public:
  explicit ReduceOnPlateau(const ReduceOnPlateauOptions& options = {});
  // Takes the newest metric; returns whether it reduced a rate. NaN is never an improvement.
  bool update(Optimizer& optimizer, double metric);
  double best() const { return best_; }  // +-infinity before the first update

  // "best" (float64), "bad_updates" and "cooldown_left" (int64). The rates are
  // in the optimizer's state.
  StateDict state_dict() const;
  // Throws Error, and changes nothing, if `state` has another form.
  void load_state_dict(const StateDict& state);

 private:
  bool improves(double metric) const;
  ReduceOnPlateauOptions options_;
  double best_;
  std::int64_t bad_updates_ = 0;
  std::int64_t cooldown_left_ = 0;
};

}  // namespace tapeloop::optim
