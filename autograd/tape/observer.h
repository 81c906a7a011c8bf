// SPDX-License-Identifier: MIT
// Observer: looks at a calculation without changing it. The profile, the search for the first NaN,
// the log of state gradients (autograd/look) and of activations (nn/look) are observers. A tape has
// those that its TapeOptions ask for. A thread may have one more, which needs no tape.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tapeloop/autograd/context/thread_context.h"
#include "tapeloop/autograd/tape/var.h"

namespace tapeloop {

struct PointwiseKernel;

namespace detail {

// An argument of pointwise(): a variable whose last axis holds `columns` arguments of the functor.
struct PointwiseInput {
  const Var* var;  // owned by the caller
  int columns;
};

struct RecordedOperation {
  const char* name;
  std::span<const Var* const> inputs;
  std::span<const Var> results;
  bool in_backward;  // a recorded backward pass called it
};

struct FormulaCall {
  const PointwiseKernel& kernel;
  const void* functor;
  std::span<const PointwiseInput> inputs;
  std::span<const Var> results;
};

struct FormulaGradient {
  const PointwiseKernel& kernel;  // of the formula, not of its gradient
  const void* functor;
  std::span<const Var> dinputs;  // undefined: not wanted
  std::span<const int> columns;  // of each input
};

// The two parts of playing a node: its backward function, and the sums of the gradients that were
// deferred for the leaves that the node was the first to use.
enum class NodeWork { backward, deferred };

class Observer {
 public:
  virtual ~Observer() = default;

  // --- the tape ---
  virtual void recorded(const RecordedOperation& /*operation*/) {}  // as the next node of the tape
  // Before and after a node is played. If something throws between the two, interrupted() is called
  // instead of end(). begin() changes nothing if it throws. end() first takes back what begin() set
  // up, and may throw after that.
  virtual void begin(std::size_t /*node*/, NodeWork /*work*/) {}
  virtual void end(std::size_t /*node*/, NodeWork /*work*/) {}
  virtual void interrupted() noexcept {}
  // The node's backward function has added to the gradient of an input.
  virtual void input_gradient(std::size_t /*input*/, const Tensor& /*sum*/) {}
  virtual void parameter_gradient(const Tensor& /*sum*/) {}  // it is complete
  virtual void pass_ended() noexcept {}                      // also after an error
  // An observer for a tape within this one (recompute); null: none.
  virtual std::unique_ptr<Observer> of_inner_tape() const { return nullptr; }

  // --- a formula, by pointwise() ---
  virtual void called(const FormulaCall& /*call*/) {}
  virtual void differentiated(const FormulaGradient& /*gradient*/) {}

  // --- the time loop of unroll() ---
  // True if unroll() shall run step by step, so that the functions below see each step.
  virtual bool wants_steps() const { return false; }
  virtual void begin_sequence(std::int64_t /*steps*/, std::int64_t /*batch*/) {}
  virtual void begin_step(std::int64_t /*t*/, std::span<const Var> /*state*/) {}
  // `made` is the result of the step. `state` is the next state, which is the old one if a sequence
  // ended.
  virtual void end_step(std::span<const Var> /*made*/, std::span<const Var> /*state*/) {}
};

using Observers = std::vector<std::unique_ptr<Observer>>;

// The observer of this type; null if there is none.
template <class Wanted>
Wanted* find_observer(std::span<const std::unique_ptr<Observer>> observers) {
  for (const auto& observer : observers) {
    if (auto* const found = dynamic_cast<Wanted*>(observer.get())) return found;
  }
  return nullptr;
}

// The observers of the tape that records in this thread; none if there is no such tape.
std::span<const std::unique_ptr<Observer>> observers();

// While it lives, `observer` is the thread's observer; null: none.
class ObservedBy {
 public:
  explicit ObservedBy(Observer* observer)
      : outer_(std::exchange(thread_context.observer, observer)) {}
  ~ObservedBy() { thread_context.observer = outer_; }
  ObservedBy(const ObservedBy&) = delete;
  ObservedBy& operator=(const ObservedBy&) = delete;

 private:
  Observer* outer_;
};

// Plays a node by play(), observed.
template <class Play>
void observe_node(const Observers& observers, std::size_t node, NodeWork work, Play play) {
  std::size_t begun = 0;
  try {
    for (; begun < observers.size(); ++begun) observers[begun]->begin(node, work);
    play();
    while (begun > 0) observers[--begun]->end(node, work);
  } catch (...) {
    while (begun > 0) observers[--begun]->interrupted();
    throw;
  }
}

}  // namespace detail
}  // namespace tapeloop
