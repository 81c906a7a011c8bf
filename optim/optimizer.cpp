// SPDX-License-Identifier: MIT
// Optimizers without their rules: groups of parameters, checks of arguments, learning rates.
// optimizer_step.cpp makes a step, optimizer_state.cpp saves and loads the state.
#include "tapeloop/optim/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string_view>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

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
