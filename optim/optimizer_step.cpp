// SPDX-License-Identifier: MIT
// A step of an optimizer: the loop over parameters, its counts, and its part of a graph capture.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/device/graph_capture.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/optim/optimizer.h"

namespace tapeloop::optim {

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

}  // namespace tapeloop::optim
