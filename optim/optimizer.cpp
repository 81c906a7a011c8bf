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
#include "tapeloop/autograd/device/graph_capture.h"
#include "tapeloop/autograd/ops/transform_all.h"
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

std::optional<Device> Optimizer::check_gradients() const {
  std::optional<Device> result;
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
    if (!value.on_host()) result = value.device();
  }
  return result;
}

// If a parameter has a new value of another type or device, its state is converted or moved.
void Optimizer::match_state(std::size_t index) {
  const Tensor& value = parameters_[index].var.value();
  Entry& entry = entries_[index];
  for (std::size_t k = 0; k < groups_[entry.group].states.size(); ++k) {
    Tensor& state = entry.state[k];
    if (state.dtype() == value.dtype() && state.device() == value.device()) continue;
    // A graph would convert the state again at each run.
    tapeloop::detail::cannot_capture("an optimizer in it had to convert its state");
    Tensor moved = Tensor::empty(value.shape(), value.dtype(), value.device());
    moved.copy_from(state);
    state = std::move(moved);
  }
}

// An update that a graph capture contains: which parameter, its gradient, and where its memory was.
struct Optimizer::Captured {
  std::size_t index;
  Tensor gradient;
  const void* value;
  std::array<const void*, kMaxStates> state;
};

// Repeats a captured step with the current counts and rates. The gradients have the same memory as
// during the capture.
class Optimizer::CapturedUpdates final : public HostPart {
 public:
  CapturedUpdates(Optimizer& optimizer, std::vector<Captured> updates)
      : optimizer_(optimizer), updates_(std::move(updates)) {}
  bool valid() const override {
    return std::all_of(updates_.begin(), updates_.end(), [&](const Captured& u) {
      const Entry& entry = optimizer_.entries_[u.index];
      const std::size_t states = optimizer_.groups_[entry.group].states.size();
      const Tensor& value = optimizer_.parameters_[u.index].var.value();
      bool same = value.raw() == u.value && value.is_contiguous();
      for (std::size_t k = 0; k < states; ++k) same = same && entry.state[k].raw() == u.state[k];
      return same;
    });
  }
  void run(GraphCapture& graph) override {
    const std::lock_guard one_at_a_time(optimizer_.stepping_);
    optimizer_.require_exact_counts("step");
    TransformAll all;
    for (const Captured& u : updates_) optimizer_.update_one(u.index, u.gradient, all);
    all.run(&graph);
    count(1);
  }
  void undo() noexcept override { count(-1); }

 private:
  void count(std::int64_t change) noexcept {
    for (const Captured& u : updates_) optimizer_.entries_[u.index].updates += change;
    optimizer_.steps_ += change;
  }
  Optimizer& optimizer_;
  std::vector<Captured> updates_;
};

void Optimizer::update_one(std::size_t index, const Tensor& gradient, TransformAll& all) {
  Entry& entry = entries_[index];
  update({entry.group, groups_[entry.group].learning_rate, entry.updates + 1,
          parameters_[index].var.value(), gradient, entry.state.data(), &all});
}

void Optimizer::require_exact_counts(const char* what) const {
  if (backend(device_).mistakes() == mistakes_) return;
  fail(name_, fmt::format("{}: after a mistake that only the GPU saw, it skipped updates, so the "
                          "step counts are not known; load a state or a checkpoint first, or make "
                          "a new optimizer",
                          what));
}

void Optimizer::count_from_now(Device device) {
  device_ = device;
  mistakes_ = backend(device).mistakes();
}

// The updates of one step, and their counts. `captured` gets those that a capture contains.
void Optimizer::update_all(const GraphCapture* capture, std::vector<Captured>& captured) {
  TransformAll all;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Var& parameter = parameters_[i].var;
    const Var& gradient = parameter.body()->grad;
    if (!gradient.defined()) continue;
    match_state(i);
    const std::int64_t before = all.added();
    update_one(i, gradient.value(), all);
    if (capture == nullptr) continue;
    if (parameter.device() != capture->device()) {
      tapeloop::detail::cannot_capture("an optimizer in it has parameters on the CPU");
    }
    if (all.added() == before) {
      tapeloop::detail::cannot_capture(
          "the rule of an optimizer works by itself, not by turn.all->add()");
    }
    Captured& u = captured.emplace_back(Captured{i, gradient.value(), parameter.value().raw(), {}});
    for (std::size_t k = 0; k < kMaxStates; ++k) u.state[k] = entries_[i].state[k].raw();
  }
  all.run();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].var.body()->grad.defined()) ++entries_[i].updates;
  }
  ++steps_;
}

void Optimizer::step() {
  const std::lock_guard one_at_a_time(stepping_);
  const std::optional<Device> device = check_gradients();
  require_exact_counts("step");
  if (device.has_value() && *device != device_) count_from_now(*device);
  GraphCapture* const capture = GraphCapture::current();
  if (capture != nullptr) capture->begin_part();
  std::vector<Captured> captured;
  try {
    update_all(capture, captured);
  } catch (...) {
    if (capture != nullptr) capture->part_failed();
    throw;
  }
  if (capture != nullptr) {
    capture->end_part(std::make_unique<CapturedUpdates>(*this, std::move(captured)));
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
