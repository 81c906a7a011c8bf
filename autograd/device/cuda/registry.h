// SPDX-License-Identifier: MIT
// The functors that have kernels for CUDA. Knows neither how kernels are made (pointwise.cuh) nor
// CUDA itself.
#pragma once

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::cuda {

// Enqueues the kernel. If *halted (on the device) is not 0 when it runs, it does nothing; null: not
// checked.
using PointwiseLaunch = void (*)(const void* functor, const LoopPlan& plan, const int* halted);

// One item of a kernel for many items. The items are in device memory; first_block is the first
// block of an item.
struct EachItem {
  alignas(16) unsigned char functor[kMaxFunctorBytes];
  std::int64_t count;
  std::int64_t first_block;
  void* data[kMaxItemOperands];
  unsigned repeated;
};
inline constexpr std::int64_t kItemElements = 256;  // elements per block
using EachLaunch = void (*)(const EachItem* items, int count, std::int64_t blocks);

struct PointwiseEntry {
  PointwiseLaunch launch[2];  // float32, float64
  EachLaunch each[2];         // null: items run one by one
};

// Replaces an earlier entry: a functor may be registered more than once.
void add_pointwise(const FunctorId* id, const PointwiseEntry& entry);
// Throws Error if there is no such kernel; the message says what to add and where.
PointwiseLaunch find_pointwise(const PointwiseKernel& kernel, DType dtype);
EachLaunch find_each(const PointwiseKernel& kernel, DType dtype);  // null: no kernel for many items

// Enqueues a whole sequence of recurrent steps (persistent.h) of a formula, or of its gradient.
// Returns false if the GPU has no room for all blocks, which wait for each other.
struct PersistentRun;
using RecurrentLaunch = bool (*)(const void* functor, const PersistentRun& run);
void add_recurrent(const FunctorId* id, RecurrentLaunch launch);
// Returns null if the formula was not registered by register_recurrent.
RecurrentLaunch find_recurrent(const PointwiseKernel& kernel);

}  // namespace tapeloop::cuda
