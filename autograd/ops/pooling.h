// SPDX-License-Identifier: MIT
// Pooling over one or two spatial axes. Pooling over whole images is max(x, {2, 3}) or
// mean(x, {2, 3}).
//   N batch, C channels, which stand before the spatial axes, as in PyTorch.
#pragma once

#include <array>

#include "tapeloop/autograd/ops/ops.h"

namespace tapeloop {

struct PoolingOptions {
  std::array<std::int64_t, 2> kernel = {2, 2};   // size of a window
  std::array<std::int64_t, 2> stride = {0, 0};   // 0: the kernel's size
  std::array<std::int64_t, 2> padding = {0, 0};  // on both sides; at most half of the kernel
};

// The largest element of each window: x [N, C, H, W] -> [N, C, H', W'], sizes as for conv2d. The
// padding is never the largest. Equal elements share the gradient.
Var max_pool2d(const Var& x, const PoolingOptions& options = {});
// The mean of each window. The padding counts as zeros, as in PyTorch.
Var avg_pool2d(const Var& x, const PoolingOptions& options = {});
// The largest element of each window over one spatial axis: x [N, C, T]. Options: those of axis 1.
Var max_pool1d(const Var& x, const PoolingOptions& options = {});
// The mean of each window over one spatial axis.
Var avg_pool1d(const Var& x, const PoolingOptions& options = {});

// Windows that divide an image of any size: x [N, C, H, W] -> [N, C, out[0], out[1]]. Window i of
// an axis of size S has the elements floor(i S / out) to ceil((i + 1) S / out) - 1. Windows overlap
// where `out` does not divide the size. Throws if a size is less than 1.
Var adaptive_max_pool2d(const Var& x, std::array<std::int64_t, 2> out);
Var adaptive_avg_pool2d(const Var& x, std::array<std::int64_t, 2> out);  // the mean of each window
Var adaptive_max_pool1d(const Var& x, std::int64_t out);  // x [N, C, T] -> [N, C, out]
Var adaptive_avg_pool1d(const Var& x, std::int64_t out);  // the mean of each window

}  // namespace tapeloop
