// SPDX-License-Identifier: MIT
// Optimizer: what all optimizers share: parameter groups, the walk over parameters, learning rates, saved state.
// Knows no update rule (updates.h) and no model: it is given named parameters.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/ops/transform_all.h"
#include "tapeloop/autograd/tape/named.h"

namespace tapeloop {
class UpdatesMade;  // backend.h
}

namespace tapeloop::optim {

// Parameters that are updated with the same options:
//   optim::Adam adam({{encoder, {.learning_rate = 1e-3}}, {head, {.learning_rate = 1e-2}}});
template <class Options>
struct Group {
  ParameterList parameters;
  Options options;
};

class Optimizer {
 public:
  virtual ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // The parameters of all groups, in the order given.
  const ParameterList& parameters() const { return parameters_; }

  // Updates every parameter that has a gradient, in place; one without is left alone, and its own step count with it.
  // Gradients stay: call zero_grad() before the next backward pass. No heap allocation. Throws, and updates nothing,
  // where a gradient has another type or device than its parameter. Where it throws later (no memory, a rule without a
  // kernel) it is not one of steps(), and only parameters that were updated by then have it in their own counts.
  // On a GPU, a step after a mistake that the host has not been told of (a target that is no class, a gradient that is not
  // finite) does nothing. It counts until the exception that tells it, and no longer from then on. While parameters there are
  // stepped, other threads that use the GPU wait: a rule must not wait for them.
  // Threads: a second thread that calls step() waits until the first one has finished. No thread
  // may use the parameters meanwhile. If a forward pass used the parameters before the step, its
  // backward pass throws after the step, because their old values are gone.
  void step();

  // Forgets all gradients, so that a parameter the next backward pass does not reach counts as one without. Their
  // memory goes to the pool, where that pass finds it again; a gradient that somebody still holds stays as it is.
  void zero_grad();

  // Calls of step() so far, those before load_state_dict() included.
  std::int64_t steps() const;

  int groups() const { return static_cast<int>(groups_.size()); }
  double learning_rate(int group = 0) const;
  double initial_learning_rate(
      int group = 0) const;             // that of the options; schedules start from it
  void set_learning_rate(double rate);  // of all groups
  void set_learning_rate(double rate, int group);

  // Copies of everything that a training needs to continue bit for bit. For each parameter: its
  // state tensors ("exp_avg.NAME"), its step count ("step.NAME", int64), the number of its group
  // ("group.NAME", int64) and the learning rate of that group ("rate.NAME", float64). Also "steps".
  // The parameters and the options are not part of it.
  StateDict state_dict() const;
  // Loads such a state. Parameters are matched by name: a group gets the learning rate that its
  // parameters had, wherever their group was in the list. Groups may be split or joined only if the
  // learning rates stay unambiguous. Throws Error, and changes nothing, if names are missing,
  // unknown or repeated, shapes or types differ, a count or rate makes no sense, or groups do not
  // fit. One message lists all problems.
  // Older states have "learning_rate.GROUP" instead of the groups of parameters. Their rates are
  // loaded by the positions of groups: give the groups in the order that they had.
  void load_state_dict(const StateDict& state);

 protected:
  static constexpr std::size_t kMaxStates = 3;
  struct State {  // one tensor kept for every parameter of a group, of its shape, type and device
    const char* name;
    double initial = 0;
  };
  struct Turn {  // one parameter's update
    std::size_t group;
    double learning_rate;
    std::int64_t step;  // of this parameter, from 1
    const Tensor& value;
    const Tensor& gradient;
    const Tensor* state;  // in the order of add_group
    // What does the work: turn.all->add(rule, inputs, outputs), once. A rule that works by itself cannot be captured, and on a
    // GPU goes on after a mistake.
    TransformAll* all;
  };

  explicit Optimizer(const char* name);
  // Called by constructors, once for each group. Allocates the state. Throws if the list is empty,
  // if an item is not a parameter, or if a parameter, its memory or a name appears twice.
  void add_group(const ParameterList& parameters, double learning_rate,
                 const std::vector<State>& states);
  // Throws "adam: learning_rate is -1; expected ..." unless `valid`.
  void require(bool valid, const char* setting, double value, const char* expected) const;
  // The checks that all optimizers share; NaN fits no range.
  void require_not_negative(const char* setting, double value) const;
  void require_fraction(const char* setting, double value) const;  // 0 <= value < 1
  void require_groups(std::size_t count) const;

 private:
  struct Entry {
    std::size_t group;
    UpdateCount count;
    std::array<Tensor, kMaxStates> state;
  };
  struct GroupRates {
    double learning_rate;
    double initial;
    std::vector<State> states;
  };

  struct Stepped {  // a parameter in a recorded step, with the memory that it had then
    std::size_t index;
    Tensor gradient;
    const void* value;
    std::array<const void*, kMaxStates> state;
  };
  class Again;
  struct SavedGroup {  // of one parameter
    std::int64_t group;
    double rate;
  };

  virtual void update(const Turn& turn) const = 0;
  void step_one(std::size_t index, const Tensor& gradient, TransformAll& all);
  // Throws where one does not fit; returns the device other than the CPU that has some, if there is one.
  Device check_gradients() const;
  // One call of step(): `rules` says by step_one() what is updated.
  template <class Rules>
  void call(const Rules& rules);
  // What the device was asked for and has not done, by what it told; `told` may be empty.
  std::int64_t lost_updates(std::size_t index, std::span<const UpdateNumber> told) const;
  std::int64_t lost_calls(std::span<const UpdateNumber> told) const;
  PoolVector<UpdateNumber> told() const;
  void count_on(Device device);  // asks it, if it is not the CPU, to say what it has made
  void settle();                 // takes what was lost off the counts
  void match_state(std::size_t index);
  StateDict views(bool rates_by_position) const;
  std::string group_problem(std::span<const SavedGroup> saved) const;
  std::size_t checked_group(int group) const;

  const char* name_;
  ParameterList parameters_;
  std::vector<Entry> entries_;  // one for each parameter
  std::vector<GroupRates> groups_;
  std::int64_t steps_ = 0;
  std::mutex stepping_;
  std::unique_ptr<UpdatesMade> made_;       // by the device of parameters that are not on the CPU
  std::int64_t calls_asked_ = 0;            // of it, those that threw included
  std::vector<std::int64_t> failed_calls_;  // which of them threw, since the last settle()
};

namespace detail {
// Where one parameter stands in the list a second time: its two places, or {-1, -1}. No heap allocation.
struct Repeated {
  std::int64_t first = -1;
  std::int64_t second = -1;
};
Repeated find_repeated(const ParameterList& parameters);
}  // namespace detail

}  // namespace tapeloop::optim
