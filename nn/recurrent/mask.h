// SPDX-License-Identifier: MIT
// Masks of the time steps within the lengths of a batch's sequences. Callers check the lengths.
#pragma once

#include <span>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::nn::detail {

// [T, N]: 1 if t < lengths[n], else 0. Made on the CPU and copied to the device once.
Tensor mask_within(std::span<const std::int64_t> lengths, std::int64_t steps, DType dtype,
                   Device device);

}  // namespace tapeloop::nn::detail
