// SPDX-License-Identifier: MIT
// The arguments of a persistent kernel: a sequence of recurrent steps as plain addresses, and the
// division of the work into blocks. persistent.cu fills them in from the tensors of
// autograd/device/backend.h. Knows neither tensors nor CUDA.
#pragma once

#include <cstdint>

#include "tapeloop/autograd/device/cuda/recurrent/recurrent_plan.h"

namespace tapeloop::cuda {

constexpr int kMostParts = 8;  // of a state

// One matrix for each time step, `step` elements apart; 0: the same matrix at each step.
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
  // From here on only for the backward pass. dhs is [T, N, H], or null: zeros.
  const void* dhs;
  void* dstates[kMostParts];  // [N, H]
  void* dz;                   // [T, N, G*H]
  void* dzx;                  // [T, N, G*H], if apart
  // [groups][2][chunks][rows] of 16 bytes: the values that blocks pass from one time step to the
  // next. Not used by clusters.
  void* exchange;
  unsigned* flags;  // [groups][slices]: the number of steps that each block has passed on
};

}  // namespace tapeloop::cuda
