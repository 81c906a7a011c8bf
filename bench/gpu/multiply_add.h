// SPDX-License-Identifier: MIT
// A formula that only moves memory: three numbers in, one out. Includes only math.h, for nvcc.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace bench {

struct MultiplyAdd {
  static constexpr const char* name = "multiply_add";
  TL_HD auto operator()(auto a, auto b, auto c) const { return a * b + c; }
};

}  // namespace bench
