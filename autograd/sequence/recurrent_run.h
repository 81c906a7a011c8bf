// SPDX-License-Identifier: MIT
// The data of one recurrent() call for its forward and backward parts. Private to those files.
#pragma once

#include "tapeloop/autograd/sequence/recurrent.h"

namespace tapeloop::detail {

struct RecurrentRun {
  Recurrence recurrence;
  bool reverse;
  PoolVector<std::int64_t> lengths;
  PoolVector<Var> initial;  // K parts [N, H]
  Var zx;                   // [T, N, G*H]
  bool in_place;            // zx's memory now holds z = zx + w h
  SequencePart part;        // where to log the gradients of h, if at all

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
  // h before each step, ordered by time, in one or two pieces. `first`: the
  // time at which a piece begins.
  struct Piece {
    std::int64_t first;
    Tensor h;  // [steps, N, H]
  };
  std::array<Piece, 2> previous_h(const Tensor& hs) const;
};

// The arguments of the formula for one step, calculated by ordinary operations.
struct StepArguments {
  PoolVector<Var> vars;
  PoolVector<PointwiseInput> inputs;  // vars, with their numbers of columns
};
StepArguments step_arguments(const Recurrence& recurrence, const Var& zx,
                             std::span<const Var> state);

// True if time t is before the end of sequence n.
inline bool is_running(const RecurrentRun& run, std::int64_t n, std::int64_t t) {
  return run.lengths.empty() || t < run.lengths[static_cast<std::size_t>(n)];
}

// For a recorded run. If the tape checks, throws at the first step with a pre-activation z or a
// state that is not finite, and names the gate.
void observe_forward(const RecurrentRun& run, const Tensor& z, std::span<const Tensor> states);
// True if observe_backward() needs the gradients dh of all states.
bool observes_states(const RecurrentRun& run, const Grads& grads);
// Logs |dh_t| of all steps, without the rows whose sequences have ended. If the tape checks, throws
// at the last step with a gradient that is not finite: dh of the state, dz and dzx of the gates
// [T, N, ..].
void observe_backward(const RecurrentRun& run, const Grads& grads, const Tensor& dh,
                      const Tensor& dz, const Tensor& dzx);

// The gradient of a run, written with operations so that it can be differentiated again. Runs the
// forward pass again step by step, then the steps backwards. douts: the gradients of hs, then of
// the K parts of the last state.
void recorded_gradient(const RecurrentRun& run, const Tensor& hs, std::span<const Var> douts,
                       Grads& grads);

}  // namespace tapeloop::detail
