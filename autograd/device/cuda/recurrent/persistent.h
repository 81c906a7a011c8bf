// SPDX-License-Identifier: MIT
// What a persistent kernel is given: a sequence of recurrent steps as bare addresses, and how the blocks divide it.
// Filled in by persistent.cu from the tensors of autograd/device/backend.h; knows neither tensors nor CUDA.
#pragma once

#include <cstdint>

#include "tapeloop/autograd/device/cuda/recurrent/recurrent_plan.h"

namespace tapeloop::cuda {

constexpr int kMostParts = 8;  // of a state

// Memory of one matrix for each time step, `step` elements apart; 0: the same at each step.
template <class P>
struct StepMemory {
  P data;
  std::int64_t step;
};

struct PersistentRun {
  RecurrentPlan plan;
  std::int64_t steps;
  int batch, hidden, gates, parts;
  bool apart, takes_h, reverse;
  const void* w;  // element (r, k) of [G*H, H] at r * w_row + k * w_column
  std::int64_t w_row, w_column;
  const std::int64_t* lengths;  // [N], or null: all run to the end
  const void* bias;             // [G*H], or null
  StepMemory<const void*> zx;   // [T, N, G*H]
  StepMemory<void*> z;
  const void* initial[kMostParts];       // [N, H]
  StepMemory<void*> states[kMostParts];  // [T, N, H]
  const void* dhs;            // [T, N, H], or null: zeros. From here on for the backward pass
  void* dstates[kMostParts];  // [N, H]
  void* dz;                   // [T, N, G*H]
  void* dzx;                  // the same, where apart
  void*
      exchange;  // [groups][2][chunks][rows] of 16 bytes: what blocks hand on from one step to the next; not in clusters
  unsigned* flags;  // [groups][slices]: steps that a block has handed on
};

}  // namespace tapeloop::cuda
