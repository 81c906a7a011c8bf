// SPDX-License-Identifier: MIT
// unroll: a loop with constant indices, for code that keeps arrays of SIMD registers in registers.
// Not for ordinary loops: the compiler unrolls those by itself.
#pragma once

#include <type_traits>
#include <utility>

#include "tapeloop/autograd/number/number.h"

namespace tapeloop {

// Calls body(i) for i = 0 to Count - 1, where each i is a constant. Arrays of registers that are
// indexed by i then stay in registers, which a plain loop does not guarantee.
template <int Count, class Body>
TL_HD void unroll(const Body& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, I>{}), ...);
  }
  (std::make_integer_sequence<int, Count>{});
}

}  // namespace tapeloop
