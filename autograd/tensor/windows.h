// SPDX-License-Identifier: MIT
// Overlapping windows of rows, as a view.
#pragma once

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::detail {

// Each `count` neighbouring rows of x as one row.
//   x [P, C] contiguous -> [P - count + 1, count * C]
// The windows overlap in memory: only for reading.
Tensor windows_of(const Tensor& x, std::int64_t count);

}  // namespace tapeloop::detail
