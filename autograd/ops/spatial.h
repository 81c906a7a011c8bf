// SPDX-License-Identifier: MIT
// What convolution and pooling share: checks of sizes, one axis as two.
#pragma once

#include <array>

#include "tapeloop/autograd/tape/var.h"

namespace tapeloop::detail {

// Throws unless both values are `least` or more.
void check_pair(const char* name, const char* what, const std::array<std::int64_t, 2>& values,
                std::int64_t least);
// How many windows of `extent` elements fit along an axis; throws if none does.
std::int64_t windows_along(const char* name, std::int64_t size, std::int64_t padding,
                           std::int64_t extent, std::int64_t stride);
// [N, C, T] -> [N, C, 1, T]; throws, as `name`, if `what` has another number of axes.
Var with_height(const char* name, const char* what, const Var& x);
Var without_height(const Var& y);  // and back

}  // namespace tapeloop::detail
