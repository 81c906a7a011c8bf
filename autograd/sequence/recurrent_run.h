// SPDX-License-Identifier: MIT
// One call of recurrent(), as its forward and backward parts share it. Private to those files.
#pragma once

#include "tapeloop/autograd/look/inspect_record.h"
#include "tapeloop/autograd/sequence/recurrent.h"

namespace tapeloop::detail {

struct RecurrentRun {
  Recurrence recurrence;
  bool reverse;
  PoolVector<std::int64_t> lengths;
  PoolVector<Var> initial;  // K parts [N, H]
  Var zx;                   // [T, N, G*H]
  bool in_place;            // zx's memory holds z = zx + w h now
  StateRow row;             // where the gradients of h are noted, if anywhere

  const Var& w() const { return recurrence.w_hh; }
  bool apart() const { return recurrence.apart; }
  std::int64_t steps() const { return zx.dim(0); }
  std::int64_t batch() const { return zx.dim(1); }
  std::int64_t hidden() const { return w().dim(1); }
  int gates() const { return static_cast<int>(w().dim(0) / w().dim(1)); }
  int gate_arguments() const { return gates() * (apart() ? 2 : 1); }
  bool takes_h() const {
    return recurrence.kernel->inputs == gate_arguments() + recurrence.parts();
  }
  std::int64_t time(std::int64_t step) const { return reverse ? steps() - 1 - step : step; }
  // h before each step, by time, in one or two pieces; with the time that each begins at.
  struct Piece {
    std::int64_t first;
    Tensor h;  // [steps, N, H]
  };
  std::array<Piece, 2> previous_h(const Tensor& hs) const;
};

// The arguments of the formula for one step, made by ordinary operations.
struct StepArguments {
  PoolVector<Var> vars;
  PoolVector<PointwiseInput> inputs;  // vars, by columns
};
StepArguments step_arguments(const Recurrence& recurrence, const Var& zx,
                             std::span<const Var> state);

// Whether row n runs at time t.
inline bool is_running(const RecurrentRun& run, std::int64_t n, std::int64_t t) {
  return run.lengths.empty() || t < run.lengths[static_cast<std::size_t>(n)];
}

// For a tape that checks: throws at the first step whose pre-activations z or states are not finite, naming the gate.
void check_steps(const Inspection& inspection, const RecurrentRun& run, const Tensor& z,
                 std::span<const Tensor> states);
// The same for the gradients, from the last step to the first: dh of the state, dz and dzx of the gates [T, N, ..].
void check_step_gradients(const Inspection& inspection, const RecurrentRun& run, const Tensor& dh,
                          const Tensor& dz, const Tensor& dzx);
// Notes |dh_t| of all steps; rows past their ends count nothing.
void note_state_gradients(const RecurrentRun& run, const Tensor& dh);

// The gradient of a run written with operations, so that it can be differentiated again: the forward pass once more, step
// by step, then the same backwards. douts: of hs, then of the K parts of the last state.
void recorded_gradient(const RecurrentRun& run, const Tensor& hs, std::span<const Var> douts,
                       Grads& grads);

}  // namespace tapeloop::detail
