// SPDX-License-Identifier: MIT
#include "tapeloop/autograd/ops/spatial.h"

#include <fmt/format.h>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::detail {

void check_pair(const char* name, const char* what, const std::array<std::int64_t, 2>& values,
                std::int64_t least) {
  for (const std::int64_t value : values) {
    if (value < least) fail(name, fmt::format("{} is {}, expected {} or more", what, value, least));
  }
}

// How many windows fit; throws if none does.
std::int64_t windows_along(const char* name, std::int64_t size, std::int64_t padding,
                           std::int64_t extent, std::int64_t stride) {
  const std::int64_t room = size + 2 * padding - extent;
  if (size >= 1 && room >= 0) return room / stride + 1;
  fail(name, fmt::format("the kernel extends over {} elements, and the image has {} with a padding "
                         "of {} on both sides; give a larger image or more padding",
                         extent, size, padding));
}

Var with_height(const char* name, const char* what, const Var& x) {
  if (x.rank() != 3) {
    fail(name, fmt::format("{} is {}, expected three axes", what, x.shape().str()));
  }
  return insert_axis(x, 2);
}
Var without_height(const Var& y) { return select_index(y, 2, 0); }

}  // namespace tapeloop::detail
