// SPDX-License-Identifier: MIT
// The sizes of cells in the tests of cells.
#pragma once

#include "tapeloop/nn/nn.h"

namespace tapeloop::nn {

inline constexpr std::int64_t kInput = 2;
inline constexpr std::int64_t kHidden = 3;

inline RecurrentOptions sizes(std::int64_t projection = 0) {
  return {.input = kInput, .hidden = kHidden, .projection = projection, .dtype = DType::float64};
}

}  // namespace tapeloop::nn
