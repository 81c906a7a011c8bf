// SPDX-License-Identifier: MIT
// How each kind of reduction combines two numbers, and its neutral element. All devices use these.
#pragma once

#include <cstdint>

#include "tapeloop/autograd/number/math.h"

namespace tapeloop {

enum class Reduction : std::uint8_t { sum, product, max, min };

template <Reduction kKind, class N>
TL_HD N combine(N a, N b) {
  if constexpr (kKind == Reduction::sum) return a + b;
  if constexpr (kKind == Reduction::product) return a * b;
  if constexpr (kKind == Reduction::max) return max(a, b);
  if constexpr (kKind == Reduction::min) return min(a, b);
}
// combine(neutral, x) == x
template <Reduction kKind, class N>
TL_HD N neutral() {
  if constexpr (kKind == Reduction::sum) return 0;
  if constexpr (kKind == Reduction::product) return 1;
  if constexpr (kKind == Reduction::max) return -static_cast<N>(__builtin_huge_val());
  if constexpr (kKind == Reduction::min) return static_cast<N>(__builtin_huge_val());
}

}  // namespace tapeloop
