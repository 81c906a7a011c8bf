// SPDX-License-Identifier: MIT
// The lengths of the sequences of a batch, and the steps at which they start again: their checks
// and masks.
//   T time steps, N sequences.
#pragma once

#include <cstdint>
#include <span>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::detail {

// Throws, as `caller`, unless there are no lengths, or one in 0..T for each sequence. `x`, of this
// name and shape [T, N, ..], is what they are of.
void check_lengths(const char* caller, std::span<const std::int64_t> lengths, const char* x,
                   const Shape& shape);

// Throws, as `caller`, unless there are no flags, or one for each step of x, of this name and shape
// [T, N, ..].
void check_resets(const char* caller, std::span<const std::uint8_t> resets, const char* x,
                  const Shape& shape);

// [T, N]: 1 if t < lengths[n], else 0. Made on the CPU and copied to the device once.
Tensor mask_within(std::span<const std::int64_t> lengths, std::int64_t T, DType dtype,
                   Device device);
// [T, N]: whether the flag is not 0. Made on the CPU and copied to the device once.
Tensor mask_of_resets(std::span<const std::uint8_t> resets, std::int64_t N, DType dtype,
                      Device device);

}  // namespace tapeloop::detail
