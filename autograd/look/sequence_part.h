// SPDX-License-Identifier: MIT
// SequencePart: which part of which sequence an unroll() or a recurrent() runs, for those who look
// inside (inspect.h). Callers pass it on in the options.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tapeloop/autograd/tape/var.h"

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

}  // namespace detail
}  // namespace tapeloop
