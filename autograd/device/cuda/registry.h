// SPDX-License-Identifier: MIT
// Which functors have kernels for CUDA. Knows neither how they are made (pointwise.cuh) nor CUDA itself.
#pragma once

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::cuda {

// Rows [.., H] of a batch that take part: those of sequences with lengths[row] > time, lengths on the device; null: all.
// None where *halted is not 0; null: nobody asks.
struct Running {
  const std::int64_t* lengths = nullptr;
  std::int64_t time = 0;
  const int* halted = nullptr;
};

// Enqueues the kernel. With running.lengths, the plan has rank 2, [rows, H].
using PointwiseLaunch = void (*)(const void* functor, const LoopPlan& plan, const Running& running);

// A kernel for many items: they lie on the device, each from a block of its own on.
struct EachItem {
  alignas(16) unsigned char functor[kMaxFunctorBytes];
  std::int64_t count;
  std::int64_t first_block;
  void* data[kMaxItemOperands];
  unsigned repeated;
  UpdateNumber* made;
  UpdateNumber number;
};
inline constexpr std::int64_t kItemElements = 256;  // done by one block
using EachLaunch = void (*)(const EachItem* items, int count, std::int64_t blocks);

struct PointwiseEntry {
  PointwiseLaunch launch[2];  // float32, float64
  EachLaunch each[2];         // null: it runs item by item
};

// Replaces what is there: a functor may be registered more than once.
void add_pointwise(const FunctorId* id, const PointwiseEntry& entry);
// Throws Error, saying what to write where, if there is no such kernel.
PointwiseLaunch find_pointwise(const PointwiseKernel& kernel, DType dtype);
EachLaunch find_each(const PointwiseKernel& kernel, DType dtype);  // null: there is only the other

// Enqueues a whole sequence of recurrent steps (persistent.h) of a formula, or of the gradient of one.
struct PersistentRun;
struct RecurrentPlan;
using RecurrentLaunch = void (*)(const void* functor, const PersistentRun& run);
using RecurrentRoom = bool (*)(const RecurrentPlan& plan);
struct RecurrentEntry {
  RecurrentLaunch launch[2];  // float32, float64
  RecurrentRoom has_room[2];  // whether the GPU has room for all blocks that must be there at once
  bool clusters;              // compiled for an architecture that has them
};
void add_recurrent(const FunctorId* id, const RecurrentEntry& entry);
// null: the formula was not registered by register_recurrent.
const RecurrentEntry* find_recurrent(const PointwiseKernel& kernel);

}  // namespace tapeloop::cuda
