// SPDX-License-Identifier: MIT
// What a device gets to run the steps of a recurrence, level by level: the step (StepLayout), the
// order (Schedule), and memory for all values. level_loop.h has the loop that reads it.
#pragma once

#include <span>

#include "tapeloop/autograd/schedule/schedule.h"
#include "tapeloop/autograd/schedule/step_layout.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

// V nodes, E edges, R state rows. All tensors are contiguous, except `weights` (any strides), and
// `values` and their gradients, whose rows may be apart.
struct LevelRun {
  const StepLayout* layout;  // after resolve()
  const Schedule* schedule;
  std::span<const Tensor> weights;  // [out, in]
  std::span<const Tensor> units;    // [size]
  std::span<const Tensor> extras;   // [V, size]
  Tensor input;                     // [V, X]; undefined if the step reads none
  // Part k of all states: [R, S_k], with the external rows filled in. Or, for a schedule that is a
  // chain, [2, N, S_k]: the states of two levels. Level t writes block (t + 1) % 2; block 0 holds
  // the initial state.
  std::span<const Tensor> states;
  // The results of the step's operations, by the index of the value: [V, size], or [E, size] of
  // edges. A part of the next state is in `states` instead. Undefined: the run keeps the value for
  // one level only.
  std::span<const Tensor> values;
};

struct LevelForward : LevelRun {};  // writes states and values

// Reads the states and values of the forward pass. All values are kept, except those of edges that
// no product, formula or layer norm reads, and except spread ones, which are spread again.
struct LevelBackward : LevelRun {
  // Gradients of the states, [R, S_k] or [2, N, S_k] like `states` of LevelRun. In: the gradients
  // of the results of all nodes; with two levels those of the last level, without `upstream`. Out:
  // the external rows have the gradients of the initial states.
  std::span<const Tensor> dstates;
  std::span<const Tensor> upstream;  // to add, for parts with two levels: [V, S_k], or undefined
  Tensor dinput;                     // [V, X], out
  // Out: gradients of products, [V, size] or [E, size]. It may be the memory of the value, or
  // columns of `dinput`: then the gradient of what the product adds is done, too. Undefined for
  // other values.
  std::span<const Tensor> dvalues;
  std::span<const Tensor> dunits;  // [size] zeros, to which the gradients are added; or undefined
};

}  // namespace tapeloop
