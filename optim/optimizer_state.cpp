// SPDX-License-Identifier: MIT
// Saves and loads the state of an optimizer. Loading compares everything before it copies anything.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/optim/optimizer.h"

namespace tapeloop::optim {
namespace {

constexpr std::string_view kStep = "step.", kGroup = "group.", kRate = "rate.",
                           kRateByPosition = "learning_rate.";
constexpr double kLargestCount = 0x1p53;  // of a saved step count: adding 1 must not overflow

Tensor count(std::int64_t n) { return Tensor::from<std::int64_t>({}, {n}); }
Tensor real(double x) { return Tensor::from<double>({}, {x}); }

// Older states have rates by the positions of groups ("learning_rate.0"), and no rates by names.
bool has_rates_by_position(const StateDict& state) {
  const auto any = [&](std::string_view prefix) {
    return std::any_of(state.begin(), state.end(),
                       [&](const NamedTensor& item) { return item.name.starts_with(prefix); });
  };
  return any(kRateByPosition) && !any(kRate);
}

// An item of a state for a message: "step.w" (the step count of "w"). Names of a rule's tensors, as
// "exp_avg.w", stay without explanation.
std::string shown(const std::string& name) {
  constexpr std::pair<std::string_view, const char*> kMeanings[] = {
      {kStep, "step count"},
      {kGroup, "group number"},
      {kRate, "learning rate"},
  };
  for (const auto& [prefix, meaning] : kMeanings) {
    if (name.starts_with(prefix)) {
      return fmt::format("\"{}\" (the {} of \"{}\")", name, meaning, name.substr(prefix.size()));
    }
  }
  if (name.starts_with(kRateByPosition)) {
    return fmt::format("\"{}\" (the learning rate of group {})", name,
                       name.substr(kRateByPosition.size()));
  }
  if (name == "steps") return "\"steps\" (the number of calls of step())";
  return fmt::format("\"{}\"", name);
}

// For a message: one line for each group, with the names of its parameters and its learning rate.
std::string group_lines(const char* where,
                        const std::map<std::pair<std::int64_t, double>, std::string>& groups) {
  std::string lines;
  for (const auto& [group, names] : groups) {
    lines += fmt::format("\n    {}: {} with learning rate {}", where, names, group.second);
  }
  return lines;
}

}  // namespace

// All names with their tensors. State tensors are views of the optimizer's
// tensors, numbers are new tensors.
StateDict Optimizer::views(bool rates_by_position) const {
  StateDict result;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    const std::vector<State>& states = groups_[entry.group].states;
    for (std::size_t k = 0; k < states.size(); ++k) {
      result.push_back({fmt::format("{}.{}", states[k].name, parameters_[i].name), entry.state[k]});
    }
    result.push_back({fmt::format("{}{}", kStep, parameters_[i].name), count(entry.updates)});
  }
  if (rates_by_position) {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      result.push_back({fmt::format("{}{}", kRateByPosition, g), real(groups_[g].learning_rate)});
    }
  } else {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const std::size_t group = entries_[i].group;
      const std::string& name = parameters_[i].name;
      result.push_back(
          {fmt::format("{}{}", kGroup, name), count(static_cast<std::int64_t>(group))});
      result.push_back({fmt::format("{}{}", kRate, name), real(groups_[group].learning_rate)});
    }
  }
  result.push_back({"steps", count(steps_)});
  return result;
}

StateDict Optimizer::state_dict() const {
  require_exact_counts("state_dict");
  StateDict result = views(false);
  for (NamedTensor& item : result) item.tensor = item.tensor.clone();
  return result;
}

// Describes how the groups of a saved state do not fit. Empty if each group here can take the rate
// that its parameters had. `saved` holds the saved group and rate of each parameter.
std::string Optimizer::group_problem(std::span<const SavedGroup> saved) const {
  std::map<std::pair<std::int64_t, double>, std::string> there, here;
  std::map<std::size_t, std::set<double>> rates_there;  // saved rates in each group here
  std::map<std::int64_t, std::set<double>> rates_here;  // rates here in each saved group
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const std::size_t group = entries_[i].group;
    rates_there[group].insert(saved[i].rate);
    rates_here[saved[i].group].insert(groups_[group].initial);
  }
  const auto differ = [](const auto& rates) {
    return std::any_of(rates.begin(), rates.end(),
                       [](const auto& item) { return item.second.size() > 1; });
  };
  if (!differ(rates_there) && !differ(rates_here)) return {};
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const std::size_t group = entries_[i].group;
    const auto add = [&](std::string& names) {
      names += (names.empty() ? "" : ", ") + parameters_[i].name;
    };
    add(there[{saved[i].group, saved[i].rate}]);
    add(here[{static_cast<std::int64_t>(group), groups_[group].initial}]);
  }
  return "the saved groups hold other parameters than the groups of this optimizer, and their "
         "learning rates differ; group the parameters as in the saved state:" +
         group_lines("saved", there) + group_lines("this optimizer", here);
}

void Optimizer::load_state_dict(const StateDict& state) {
  for (std::size_t i = 0; i < entries_.size(); ++i) match_state(i);
  const bool rates_by_position = has_rates_by_position(state);
  const StateDict expected = views(rates_by_position);
  std::vector<std::string> problems;
  std::unordered_map<std::string_view, const Tensor*> given;
  for (const NamedTensor& item : state) {
    if (!given.emplace(item.name, &item.tensor).second)
      problems.push_back(fmt::format("the saved state has {} twice", shown(item.name)));
  }
  std::unordered_map<std::string_view, const Tensor*> source;  // by the names of `expected`
  for (const NamedTensor& item : expected) {
    auto found = given.find(item.name);
    if (found == given.end()) {
      problems.push_back(fmt::format("the saved state has no {}; expected {}", shown(item.name),
                                     item.tensor.describe()));
      continue;
    }
    const Tensor& tensor = *found->second;
    const auto is = [&](std::string_view prefix) { return item.name.starts_with(prefix); };
    const bool is_number =
        item.name == "steps" || is(kStep) || is(kGroup) || is(kRate) || is(kRateByPosition);
    if (!tensor.defined() || tensor.shape() != item.tensor.shape() ||
        tensor.dtype() != item.tensor.dtype()) {
      problems.push_back(fmt::format("{} is {}, expected {}", shown(item.name), tensor.describe(),
                                     item.tensor.describe()));
    } else if (is_number && !(std::isfinite(tensor.item()) && tensor.item() >= 0)) {
      problems.push_back(
          fmt::format("{} is {}, expected 0 or above", shown(item.name), tensor.item()));
    } else if (tensor.dtype() == DType::int64 && tensor.item() > kLargestCount) {
      problems.push_back(
          fmt::format("{} is {}, expected at most 2^53", shown(item.name), tensor.item()));
    }
    source.emplace(item.name, &tensor);
    given.erase(found);
  }
  for (const NamedTensor& item : state) {
    if (given.erase(item.name) > 0) {
      problems.push_back(
          fmt::format("the saved state has {}, {}, which this optimizer does not have",
                      shown(item.name), item.tensor.describe()));
    }
  }
  const auto number = [&](std::string_view prefix, const std::string& name) {
    return source.at(fmt::format("{}{}", prefix, name))->item();
  };
  std::vector<SavedGroup> saved;
  if (problems.empty() && !rates_by_position) {
    for (const NamedVar& parameter : parameters_) {
      saved.push_back({static_cast<std::int64_t>(number(kGroup, parameter.name)),
                       number(kRate, parameter.name)});
    }
    const std::string problem = group_problem(saved);
    if (!problem.empty()) problems.push_back(problem);
  }
  if (!problems.empty()) {
    fail(name_, fmt::format("load_state_dict: nothing was loaded; the state must come from an "
                            "optimizer of the same kind, options, groups and parameter names:"
                            "\n  {}",
                            fmt::join(problems, "\n  ")));
  }
  const NamedTensor* item = expected.data();
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    for (std::size_t k = 0; k < groups_[entry.group].states.size(); ++k) {
      entry.state[k].copy_from(*source.at((item++)->name));
    }
    entry.updates = *source.at((item++)->name)->read<std::int64_t>();
    if (!rates_by_position) groups_[entry.group].learning_rate = saved[i].rate;
  }
  if (rates_by_position) {
    for (GroupRates& group : groups_) group.learning_rate = source.at((item++)->name)->item();
  }
  steps_ = *source.at("steps")->read<std::int64_t>();
  count_from_now(device_);
}

}  // namespace tapeloop::optim
