// SPDX-License-Identifier: MIT
// Sequences in the order in which they run, and their last steps, for cells that read the inputs of
// several steps.
//   T time steps, N sequences.
#pragma once

#include <span>

#include "tapeloop/autograd/ops/ops.h"

namespace tapeloop::nn::detail {

// x [T, N, F] with the steps of each sequence from its last one to its first; those past its end
// stay in their places. The second call undoes the first. Empty lengths: all have T steps.
Var turned(const Var& x, std::span<const std::int64_t> lengths);

// The last `count` steps of each sequence, [count, N, F], from x [count + T, N, F], whose first
// `count` steps are those before the sequence.
Var last_steps(const Var& x, std::int64_t count, std::span<const std::int64_t> lengths);

}  // namespace tapeloop::nn::detail
