// SPDX-License-Identifier: MIT
// The sizes of cells in the tests of cells.
#pragma once

#include "tapeloop/nn/nn.h"

namespace tapeloop::nn {

inline constexpr std::int64_t kInput = 2;
inline constexpr std::int64_t kHidden = 3;

inline RecurrentOptions sizes() {
  return {.input = kInput, .hidden = kHidden, .dtype = DType::float64};
}

}  // namespace tapeloop::nn
