// SPDX-License-Identifier: MIT
// The arguments of a persistent kernel: a sequence of recurrent steps as plain addresses, and the
// division of the work into blocks. persistent.cu fills them in from the tensors of
// autograd/device/backend.h. Knows neither tensors nor CUDA.
#pragma once

#include <cstdint>

#include "tapeloop/autograd/device/cuda/recurrent/recurrent_plan.h"
#include "tapeloop/autograd/number/number.h"

namespace tapeloop::cuda {

constexpr int kMostParts = 8;  // of a state

// 16 bytes along the inner axis. A matrix is stored as [chunks][columns or rows]: adjacent threads
// read adjacent chunks.
struct alignas(kChunkBytes) Chunk {
  float at[kChunkSize];
};

// One matrix for each time step, `step` elements apart; 0: the same matrix at each step.
template <class T>
struct StepMemory {
  T* data;
  std::int64_t step;
  TL_HD T* at(std::int64_t time) const { return data + step * time; }
};

struct PersistentRun {
  RecurrentPlan plan;
  std::int64_t steps;
  int batch, hidden, gates, parts;
  bool apart, takes_h, reverse;
  const float* w;  // element (r, k) of [G*H, H] at r * w_row + k * w_column
  std::int64_t w_row, w_column;
  const float* bias;           // [G*H], or null
  StepMemory<const float> zx;  // [T, N, G*H]
  StepMemory<float> z;
  const float* initial[kMostParts];      // [N, H]
  StepMemory<float> states[kMostParts];  // [T, N, H]
  // From here on only for the backward pass. dhs is [T, N, H], or null: zeros.
  const float* dhs;
  float* dstates[kMostParts];  // [N, H]
  float* dz;                   // [T, N, G*H]
  float* dzx;                  // [T, N, G*H], if apart
  // [groups][2][chunks][rows]: the values that blocks pass from one time step to the next.
  Chunk* exchange;
  unsigned* flags;  // [groups][slices]: the number of steps that each block has passed on
};

}  // namespace tapeloop::cuda
