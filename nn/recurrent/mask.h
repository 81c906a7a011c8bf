// SPDX-License-Identifier: MIT
// Which steps lie within the lengths of a batch's sequences. Lengths are checked by who calls.
#pragma once

#include <span>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::nn::detail {

// [T, N]: 1 where t < lengths[n], else 0. Made on the CPU and copied once.
Tensor mask_within(std::span<const std::int64_t> lengths, std::int64_t steps, DType dtype,
                   Device device);

}  // namespace tapeloop::nn::detail
