// SPDX-License-Identifier: MIT
// recurrent(): all steps of a recurrent layer as one operation, for any formula of the user and any
// order. The result is that of the same steps one by one on the tape (the tests compare both). The
// weights are packed once, the gradient of a weight is one product over all steps, and threads
// divide the hidden units.
//   T time steps, N batch, H hidden units, K parts of the state s = (h, c, ...), each [N, size],
//   V nodes of a schedule.
#pragma once

#include <array>
#include <span>

#include "tapeloop/autograd/look/sequence_part.h"
#include "tapeloop/autograd/schedule/schedule.h"
#include "tapeloop/autograd/sequence/recurrence.h"

namespace tapeloop {

struct SequenceOptions {
  bool reverse = false;  // from the last time step to the first; hs stay aligned with zx
  // [N], each 0..T. After the end of a sequence hs is 0, and zx is not used: it may be NaN. Steps
  // past the ends take no time. Empty: all sequences have T steps.
  std::span<const std::int64_t> lengths = {};
  // [T, N]: at a step whose flag is not 0 the sequence starts again from its initial state. No
  // gradient flows from this step to the step before. Empty: no sequence starts again.
  std::span<const std::uint8_t> resets = {};
  bool all_parts = false;          // RecurrentResult::states has all parts
  detail::SequencePart part = {};  // set by unroll(): the part that it runs
};

struct ScheduleOptions {
  bool all_parts = false;          // RecurrentResult::states has all parts
  detail::SequencePart part = {};  // set by unroll(), for sequences: the part that it runs
};

// The result of recurrent().
struct RecurrentResult {
  Var hs;                  // [T, N, H]
  PoolVector<Var> last;    // the K parts of the state after the last step, [N, size]
  PoolVector<Var> states;  // with all_parts: the K parts after each step, [T, N, size]; hs first
};

// zx [T, N, columns] is the input of the step. It may be undefined if the step does not read it,
// but only in the form with a schedule. state: K parts [N, size]. If the caller moves zx in and
// nobody else holds it, the products may overwrite it: an LSTM then keeps 4 + 2 numbers for each
// unit and time step, and the backward pass takes no more. Saves the products and all parts of all
// states. Throws if shapes or types do not fit. Cost: the products, twice that backward; no
// allocation in the steady state.
RecurrentResult recurrent(Recurrence recurrence, Var zx, std::span<const Var> state,
                          const SequenceOptions& options = {});

// The same with the parts of the state in braces: recurrent(r, zx, {h, c}).
inline RecurrentResult recurrent(Recurrence recurrence, Var zx, std::initializer_list<Var> state,
                                 const SequenceOptions& options = {}) {
  return recurrent(std::move(recurrence), std::move(zx),
                   std::span<const Var>(state.begin(), state.size()), options);
}

// The same in any order. zx [V, columns] has a row for each node, in the order of the schedule
// (to_nodes()); so have the results hs [V, H]. state: K parts [schedule.initial_rows(), size]; an
// undefined part is zeros. state_sizes: the size of each part. `last` is empty unless the schedule
// has finals().
RecurrentResult recurrent(Recurrence recurrence, Var zx, std::span<const Var> state,
                          std::span<const std::int64_t> state_sizes, const Schedule& schedule,
                          const ScheduleOptions& options = {});

// Rows in the user's order, x [schedule.input_rows(), ..], in the order of the schedule, [V, ..].
Var to_nodes(const Schedule& schedule, const Var& x);
// The other way: rows in the user's order. Rows that belong to no node are 0.
Var from_nodes(const Schedule& schedule, const Var& y);

}  // namespace tapeloop
