// SPDX-License-Identifier: MIT
// Optimizers without their rules: checks of arguments, the loop over parameters, learning rates.
// optimizer_state.cpp saves and loads their state.
#include "tapeloop/optim/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string_view>

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/device/recording.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/optim/updates.h"

namespace tapeloop::optim {

detail::Repeated detail::find_repeated(const ParameterList& parameters) {
  struct Place {
    const tapeloop::detail::VarBody* body;
    std::int64_t index;
  };
  PoolVector<Place> places;
  places.reserve(parameters.size());
  for (const NamedVar& parameter : parameters) {
    places.push_back({parameter.var.body(), static_cast<std::int64_t>(places.size())});
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.body != b.body ? std::less<>()(a.body, b.body) : a.index < b.index;
  });
  Repeated found;
  for (std::size_t i = 1; i < places.size(); ++i) {
    if (places[i].body != places[i - 1].body) continue;
    // Chooses the first repetition in the list, so that the message does not depend on addresses.
    if (found.second < 0 || places[i].index < found.second)
      found = {places[i - 1].index, places[i].index};
  }
  return found;
}

Optimizer::Optimizer(const char* name) : name_(name) {}
Optimizer::~Optimizer() = default;

// --- checks of arguments ---

void Optimizer::require(bool valid, const char* setting, double value, const char* expected) const {
  if (!valid) fail(name_, fmt::format("{} is {}; expected {}", setting, value, expected));
}

void Optimizer::require_not_negative(const char* setting, double value) const {
  require(std::isfinite(value) && value >= 0, setting, value, "a finite number, 0 or above");
}

void Optimizer::require_fraction(const char* setting, double value) const {
  require(value >= 0 && value < 1, setting, value, "a number from 0 to below 1");
}

void Optimizer::require_groups(std::size_t count) const {
  if (count == 0)
    fail(name_, "no parameter groups were given; give at least one, {parameters, options}");
}

void Optimizer::add_group(const ParameterList& parameters, double learning_rate,
                          const std::vector<State>& states) {
  require_not_negative("learning_rate", learning_rate);
  if (parameters.empty()) {
    fail(name_, fmt::format(
                    "the parameter list of group {} is empty; give the parameters of a model, e.g. "
                    "parameters(lstm, head)",
                    groups_.size()));
  }
  for (const NamedVar& parameter : parameters) {
    if (!parameter.var.is_parameter()) {
      fail(name_,
           fmt::format("\"{}\" is not a parameter but {}; make it by parameter(tensor)",
                       parameter.name,
                       parameter.var.defined() ? "a constant or a computed value" : "undefined"));
    }
    const Tensor& value = parameter.var.value();
    for (int axis = 0; axis < value.rank(); ++axis) {
      if (value.dim(axis) > 1 && value.stride(axis) == 0) {
        fail(name_, fmt::format("\"{}\" ({}) is an expanded view, whose elements cannot be updated "
                                "one by one; make it "
                                "by parameter(tensor.clone())",
                                parameter.name, value.describe()));
      }
    }
    parameters_.push_back(parameter);
  }
  if (detail::Repeated twice = detail::find_repeated(parameters_); twice.second >= 0) {
    fail(name_,
         fmt::format(
             "one parameter was given twice, as \"{}\" and as \"{}\"; list a shared parameter once",
             parameters_[static_cast<std::size_t>(twice.first)].name,
             parameters_[static_cast<std::size_t>(twice.second)].name));
  }
  std::set<std::string_view> names;
  std::map<const void*, std::string_view> memory;
  for (const NamedVar& parameter : parameters_) {
    if (const Tensor& value = parameter.var.value(); value.numel() > 0) {
      const auto [first, is_new] = memory.emplace(value.raw(), parameter.name);
      if (!is_new) {
        fail(name_,
             fmt::format("the parameters \"{}\" and \"{}\" have the same memory, which would be "
                         "updated twice; tie weights by one Var, or make one of the two by "
                         "parameter(tensor.clone())",
                         first->second, parameter.name));
      }
    }
    if (!names.insert(parameter.name).second) {
      fail(name_, fmt::format("two parameters are named \"{}\", but saved state goes by name; give "
                              "each model its own "
                              "prefix",
                              parameter.name));
    }
  }
  for (const NamedVar& parameter : parameters) {
    const Tensor& value = parameter.var.value();
    Entry& entry = entries_.emplace_back();
    entry.group = groups_.size();
    for (std::size_t k = 0; k < states.size(); ++k) {
      entry.state[k] =
          Tensor::full(value.shape(), states[k].initial, value.dtype(), value.device());
    }
  }
  groups_.push_back({learning_rate, learning_rate, states});
}

// --- a step ---

Device Optimizer::check_gradients() const {
  Device elsewhere = Device::cpu;
  for (const NamedVar& parameter : parameters_) {
    const Var& gradient = parameter.var.body()->grad;
    if (!gradient.defined()) continue;
    const Tensor& value = parameter.var.value();
    if (gradient.dtype() != value.dtype() || gradient.device() != value.device()) {
      fail(name_,
           fmt::format(
               "step: the gradient of \"{}\" is {} on {}, the parameter {} on {}; convert one by "
               "set_grad or set_value",
               parameter.name, gradient.value().describe(), tapeloop::name(gradient.device()),
               value.describe(), tapeloop::name(value.device())));
    }
    if (value.device() != Device::cpu) elsewhere = value.device();
  }
  return elsewhere;
}

// If a parameter has a new value of another type or device, its state is converted or moved.
void Optimizer::match_state(std::size_t index) {
  const Tensor& value = parameters_[index].var.value();
  Entry& entry = entries_[index];
  for (std::size_t k = 0; k < groups_[entry.group].states.size(); ++k) {
    Tensor& state = entry.state[k];
    if (state.dtype() == value.dtype() && state.device() == value.device()) continue;
    Tensor moved = Tensor::empty(value.shape(), value.dtype(), value.device());
    moved.copy_from(state);
    state = std::move(moved);
  }
}

// Repeats a recorded step with the current counts and rates. The gradients have the same
// memory as when it was recorded.
class Optimizer::Again final : public HostPart {
 public:
  Again(Optimizer& optimizer, std::vector<Stepped> stepped)
      : optimizer_(optimizer), stepped_(std::move(stepped)) {}
  bool valid() const override {
    return std::all_of(stepped_.begin(), stepped_.end(), [&](const Stepped& s) {
      const Entry& entry = optimizer_.entries_[s.index];
      const std::size_t states = optimizer_.groups_[entry.group].states.size();
      bool same = optimizer_.parameters_[s.index].var.value().raw() == s.value;
      for (std::size_t k = 0; k < states; ++k) same = same && entry.state[k].raw() == s.state[k];
      return same;
    });
  }
  void run() override {  // no other thread works: Recording::run() holds the device
    if (!stepped_.empty()) {
      optimizer_.count_on(optimizer_.parameters_[stepped_[0].index].var.device());
    }
    optimizer_.settle();
    optimizer_.call([&](TransformAll& all) {
      for (const Stepped& s : stepped_) optimizer_.step_one(s.index, s.gradient, all);
    });
  }

 private:
  Optimizer& optimizer_;
  std::vector<Stepped> stepped_;
};

void Optimizer::step_one(std::size_t index, const Tensor& gradient, TransformAll& all) {
  Entry& entry = entries_[index];
  const Tensor& value = parameters_[index].var.value();
  const bool here = value.device() == Device::cpu;
  const std::int64_t before = all.added();
  all.count_next(&entry.count, here ? nullptr : made_->place(index), calls_asked_ + 1);
  update({entry.group, groups_[entry.group].learning_rate, entry.count.updates + 1, value, gradient,
          entry.state.data(), &all});
  if (all.added() == before) ++entry.count.updates;  // the rule did not use turn.all
}

template <class Rules>
void Optimizer::call(const Rules& rules) {
  TransformAll all;
  try {
    rules(all);
    all.run();
  } catch (...) {
    // Some updates may already have this call's number, so no other call may get it.
    if (all.asked() > 0) failed_calls_.push_back(++calls_asked_);
    throw;
  }
  ++steps_;
  // Rules that do not use turn.all give the device no number, so it cannot count what it skipped.
  if (all.asked() > 0) ++calls_asked_;
}

// --- updates that a device skipped ---

void Optimizer::count_on(Device device) {
  if (made_ != nullptr || device == Device::cpu) return;
  made_ = backend(device).new_updates_made(entries_.size());
}

PoolVector<UpdateNumber> Optimizer::told() const {
  return made_ == nullptr ? PoolVector<UpdateNumber>() : made_->told();
}

std::int64_t Optimizer::lost_updates(std::size_t index, std::span<const UpdateNumber> told) const {
  return told.empty() ? 0 : entries_[index].count.asked - told[index].update;
}

static std::int64_t last_call(std::span<const UpdateNumber> told) {
  std::int64_t last = 0;
  for (const UpdateNumber& number : told) last = std::max(last, number.call);
  return last;
}

std::int64_t Optimizer::lost_calls(std::span<const UpdateNumber> told) const {
  if (told.empty()) return 0;
  const std::int64_t last = last_call(told);
  // Not counted in steps_.
  const std::int64_t failed = std::count_if(failed_calls_.begin(), failed_calls_.end(),
                                            [&](std::int64_t call) { return call > last; });
  return calls_asked_ - last - failed;
}

void Optimizer::settle() {
  const PoolVector<UpdateNumber> told = this->told();
  if (told.empty()) return;
  steps_ -= lost_calls(told);
  calls_asked_ = last_call(told);
  failed_calls_.clear();
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    entries_[i].count.updates -= lost_updates(i, told);
    entries_[i].count.asked = told[i].update;
  }
  made_->settled();
}

std::int64_t Optimizer::steps() const { return steps_ - lost_calls(told()); }

void Optimizer::step() {
  const std::lock_guard one_at_a_time(stepping_);
  count_on(check_gradients());
  // From settle() to the last launch no other thread may receive an error of the device. After that
  // the device would do this step's updates, but with numbers that include the skipped ones.
  std::unique_lock<std::recursive_mutex> held;
  if (made_ != nullptr) held = made_->hold();
  settle();
  Recording* const recording = Recording::current();
  if (recording != nullptr) recording->begin_part();
  std::vector<Stepped> stepped;  // for a recording
  call([&](TransformAll& all) {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const Var& parameter = parameters_[i].var;
      const Var& gradient = parameter.body()->grad;
      if (!gradient.defined()) continue;
      match_state(i);
      const std::int64_t before = all.added();
      step_one(i, gradient.value(), all);
      if (recording == nullptr) continue;
      if (parameter.device() == Device::cpu) {
        tapeloop::detail::cannot_record("an optimizer in it has parameters on the CPU");
      }
      if (all.added() == before) {
        tapeloop::detail::cannot_record(
            "the rule of an optimizer works by itself, not by turn.all->add()");
      }
      Stepped& s = stepped.emplace_back(Stepped{i, gradient.value(), parameter.value().raw(), {}});
      for (std::size_t k = 0; k < kMaxStates; ++k) s.state[k] = entries_[i].state[k].raw();
    }
  });
  if (recording != nullptr) {
    recording->end_part(std::make_unique<Again>(*this, std::move(stepped)));
  }
}

void Optimizer::zero_grad() {
  for (const NamedVar& parameter : parameters_) parameter.var.zero_grad();
}

// --- learning rates ---

std::size_t Optimizer::checked_group(int group) const {
  if (group < 0 || group >= groups()) {
    fail(name_, fmt::format("there is no parameter group {}; they are numbered 0 to {}", group,
                            groups() - 1));
  }
  return static_cast<std::size_t>(group);
}

double Optimizer::learning_rate(int group) const {
  return groups_[checked_group(group)].learning_rate;
}
double Optimizer::initial_learning_rate(int group) const {
  return groups_[checked_group(group)].initial;
}

void Optimizer::set_learning_rate(double rate) {
  for (int group = 0; group < groups(); ++group) set_learning_rate(rate, group);
}

void Optimizer::set_learning_rate(double rate, int group) {
  require_not_negative("learning_rate", rate);
  groups_[checked_group(group)].learning_rate = rate;
}

}  // namespace tapeloop::optim
