// SPDX-License-Identifier: MIT
// SequencePart: which part of which sequence an unroll() or a recurrent() runs, for observers
// (inspect.h). Callers pass it on in the options. ObservedSteps: the calls of observers in a loop
// over time steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/tape/observer.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

struct StateGradient;

namespace detail {

using StateLog = std::vector<StateGradient>;

struct SequencePart {
  bool begun = false;             // false: the run is a sequence of its own
  std::int64_t first = 0;         // the time step of the sequence at which the part begins
  std::shared_ptr<StateLog> log;  // null: the tape does not log state gradients
  std::size_t row = 0;            // of the sequence in the log

  // The part that begins `steps` after this one.
  SequencePart from(std::int64_t steps) const { return {begun, first + steps, log, row}; }
  bool logged() const { return log != nullptr; }
  // Logs |dh| of a time step, counted from `first`.
  void note(std::int64_t t, const Tensor& dh) const;
};

// The part itself if it belongs to a sequence that has begun. Else a new sequence, with a row in
// the state log if the current tape logs.
SequencePart begin_sequence(const SequencePart& part, std::int64_t steps, bool reverse);

// Returns h, with a tape entry that logs the norm of h's whole gradient in the backward pass.
// Returns h itself if gradients are not logged.
Var watch_state(const SequencePart& part, std::int64_t t, const Var& h);

// The observer of this thread, if it wants to see each step; else null.
inline Observer* observer_of_steps() {
  Observer* const observer = thread_context.observer;
  return observer != nullptr && observer->wants_steps() ? observer : nullptr;
}

// The calls of observers in a loop over time steps. While a Step lives, the calculation is at its
// time step.
class ObservedSteps {
 public:
  ObservedSteps(const SequencePart& part, Observer* observer, std::int64_t steps,
                std::int64_t batch)
      : part_(part), observer_(observer) {
    if (observer != nullptr) observer->begin_sequence(steps, batch);
  }

  class Step {
   public:
    // `state`: before the step.
    Step(ObservedSteps& steps, std::int64_t t, std::span<const Var> state)
        : steps_(steps), t_(t), time_step_(steps.part_.first + t) {
      if (steps.observer_ != nullptr) steps.observer_->begin_step(t, state);
    }
    // Returns h of the next state `made`, to be used in its place.
    Var made(std::span<const Var> made) {
      if (steps_.observer_ != nullptr) steps_.made_.assign(made.begin(), made.end());
      return watch_state(steps_.part_, t_, made[0]);
    }
    // `state`: after the step; the old one where a sequence has ended.
    void end(std::span<const Var> state) {
      if (steps_.observer_ != nullptr) steps_.observer_->end_step(steps_.made_, state);
    }

   private:
    ObservedSteps& steps_;
    std::int64_t t_;
    TimeStep time_step_;
  };

 private:
  const SequencePart& part_;
  Observer* observer_;
  PoolVector<Var> made_;
};

}  // namespace detail
}  // namespace tapeloop
