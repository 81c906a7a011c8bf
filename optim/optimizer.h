// SPDX-License-Identifier: MIT
// Optimizer: the base of all optimizers, with parameter groups, the loop over parameters, learning
// rates and saved state. Knows no update rule (updates.h) and no model, only named parameters.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/ops/transform_all.h"
#include "tapeloop/autograd/tape/named.h"

namespace tapeloop::optim {

// Parameters that are updated with the same options:
//   optim::Adam adam({{encoder, {.learning_rate = 1e-3}}, {head, {.learning_rate = 1e-2}}});
template <class Options>
struct Group {
  ParameterList parameters;  // at least one
  Options options;           // of all of them
};

class Optimizer {
 public:
  virtual ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // The parameters of all groups, in the order given.
  const ParameterList& parameters() const { return parameters_; }

  // Updates every parameter that has a gradient, in place. A parameter without a gradient, and its
  // step count, stay unchanged. Gradients stay: call zero_grad() before the next backward pass. No
  // heap allocation. Throws, and updates and counts nothing, if a gradient has another type or
  // device than its parameter, or if a rule throws or has no kernel for the device.
  // On a GPU: after a mistake that only the GPU sees (a target that is not a class, a gradient that
  // is not finite) steps have no effect until the host gets the exception, at its next wait. The
  // counts include these steps. So after the exception step() and state_dict() throw until a state
  // is loaded.
  // Threads: a second thread that calls step() waits until the first one has finished. No thread
  // may use the parameters meanwhile. If a forward pass used the parameters before the step, its
  // backward pass throws after the step, because their old values are gone.
  void step();

  // Removes all gradients, so that a parameter that the next backward pass does not reach has none.
  // Their memory goes to the pool, where the next backward pass finds it. A gradient that somebody
  // else holds stays unchanged.
  void zero_grad();

  // Number of step() calls, including those counted in a loaded state.
  std::int64_t steps() const { return steps_; }

  // Number of groups.
  int groups() const { return static_cast<int>(groups_.size()); }
  // The rate that the next step uses.
  double learning_rate(int group = 0) const;
  // The rate in the options; schedules start from it.
  double initial_learning_rate(int group = 0) const;
  // Sets the rate of all groups, or of one group.
  void set_learning_rate(double rate);
  void set_learning_rate(double rate, int group);

  // Copies of everything that is needed to continue training bit for bit. For each parameter: its
  // state tensors ("exp_avg.NAME"), its step count ("step.NAME", int64), the number of its group
  // ("group.NAME", int64) and the learning rate of that group ("rate.NAME", float64). Also "steps".
  // Parameters and options are not included.
  StateDict state_dict() const;
  // Loads such a state. Parameters are matched by name: a group gets the learning rate of its
  // parameters in the state, at any position of the group in the list. Groups may be split or
  // joined only if the learning rates stay unambiguous. Throws Error, and changes nothing, if names
  // are missing, unknown or repeated, shapes or types differ, a count or rate is invalid, or groups
  // do not fit. One message lists all problems.
  // Older states have "learning_rate.GROUP" instead of the groups of parameters. Their rates are
  // loaded by the positions of groups: give the groups in the order that they had.
  void load_state_dict(const StateDict& state);

 protected:
  static constexpr std::size_t kMaxStates = 3;  // of a parameter
  // One tensor for every parameter of a group, with the parameter's shape, type and device.
  struct State {
    const char* name;    // "exp_avg"
    double initial = 0;  // the first value of all elements
  };
  // The update of one parameter.
  struct Turn {
    std::size_t group;       // its number, from 0
    double learning_rate;    // of its group
    std::int64_t step;       // step count of this parameter, from 1
    const Tensor& value;     // of the parameter, to be changed
    const Tensor& gradient;  // of the parameter
    const Tensor* state;     // in the order of add_group
    // A rule calls turn.all->add(rule, inputs, outputs) once. A rule that updates without it cannot
    // be captured, and on a GPU it also updates after a mistake.
    TransformAll* all;
  };

  explicit Optimizer(const char* name);
  // Called by constructors, once for each group. Allocates the state. Throws if the list is empty,
  // if an item is not a parameter, or if a parameter, its memory or a name appears twice.
  void add_group(const ParameterList& parameters, double learning_rate,
                 const std::vector<State>& states);
  // Throws "adam: learning_rate is -1; expected ..." unless `valid`.
  void require(bool valid, const char* setting, double value, const char* expected) const;
  // The checks that all optimizers share; NaN is in no range.
  void require_not_negative(const char* setting, double value) const;
  void require_fraction(const char* setting, double value) const;  // 0 <= value < 1
  void require_groups(std::size_t count) const;                    // at least one

 private:
  struct Entry {
    std::size_t group;
    std::int64_t updates = 0;  // how often the parameter was updated
    std::array<Tensor, kMaxStates> state;
  };
  struct GroupRates {
    double learning_rate;
    double initial;
    std::vector<State> states;
  };

  struct Captured;
  class CapturedUpdates;
  struct SavedGroup {  // of one parameter
    std::int64_t group;
    double rate;
  };

  virtual void update(const Turn& turn) const = 0;
  void update_all(const GraphCapture* capture, std::vector<Captured>& captured);
  void update_one(std::size_t index, const Tensor& gradient, TransformAll& all);
  // Throws if a gradient does not fit. Returns the device of the gradients that the host cannot
  // read, if there are some.
  std::optional<Device> check_gradients() const;
  // Throws if the device may have skipped updates that are counted here.
  void require_exact_counts(const char* what) const;
  void count_from_now(Device device);  // the counts are exact at this moment
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
  Device device_{};             // of updates that the host cannot see, once there were some
  std::uint64_t mistakes_ = 0;  // Backend::mistakes() when the counts were last exact
};

namespace detail {
// If a parameter is in the list twice: its two positions, else {-1, -1}. No heap allocation.
struct Repeated {
  std::int64_t first = -1;
  std::int64_t second = -1;
};
Repeated find_repeated(const ParameterList& parameters);
}  // namespace detail

}  // namespace tapeloop::optim
