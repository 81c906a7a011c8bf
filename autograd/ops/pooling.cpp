// SPDX-License-Identifier: MIT
// Pooling as a maximum or mean of slices.
#include "tapeloop/autograd/ops/pooling.h"

#include <fmt/format.h>

#include <limits>

#include "tapeloop/autograd/ops/spatial.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

using Pair = std::array<std::int64_t, 2>;
using detail::check_pair;
using detail::windows_along;
using detail::with_height;
using detail::without_height;

Var pool(const char* name, const Var& x, PoolingOptions o, bool largest) {
  if (x.rank() != 4) fail(name, fmt::format("x is {}, expected [N, C, ..]", x.shape().str()));
  check_pair(name, "kernel", o.kernel, 1);
  check_pair(name, "stride", o.stride, 0);
  check_pair(name, "padding", o.padding, 0);
  Pair out{};
  for (std::size_t a = 0; a < 2; ++a) {
    if (o.stride[a] == 0) o.stride[a] = o.kernel[a];
    if (2 * o.padding[a] > o.kernel[a]) {
      fail(name, fmt::format("padding is {}, expected at most half of the kernel, which is {}",
                             o.padding[a], o.kernel[a]));
    }
    out[a] =
        windows_along(name, x.dim(2 + static_cast<int>(a)), o.padding[a], o.kernel[a], o.stride[a]);
  }
  const auto [ph, pw] = o.padding;
  const double outside = largest ? -std::numeric_limits<double>::infinity() : 0;
  const Var image = ph + pw > 0 ? pad(x, {{2, ph, ph}, {3, pw, pw}}, outside) : x;
  PoolVector<Var> parts;  // for each element of the kernel, what it reads
  for (std::int64_t i = 0; i < o.kernel[0]; ++i) {
    const Var rows = slice(image, 2, i, i + (out[0] - 1) * o.stride[0] + 1, o.stride[0]);
    for (std::int64_t j = 0; j < o.kernel[1]; ++j) {
      const Var part = slice(rows, 3, j, j + (out[1] - 1) * o.stride[1] + 1, o.stride[1]);
      parts.push_back(part);
    }
  }
  return largest ? max(stack(parts), {0}) : mean(stack(parts), {0});
}

PoolingOptions of_one_axis(PoolingOptions o) {
  o.kernel[0] = o.stride[0] = 1, o.padding[0] = 0;
  return o;
}

// One axis in `out` windows.
Var adaptive_axis(const char* name, const Var& x, int axis, std::int64_t out, bool largest) {
  const std::int64_t size = x.dim(axis);
  if (out < 1 || size < 1) {
    fail(name, fmt::format("an axis of {} elements was to be divided into {} windows; expected at "
                           "least 1 of both",
                           size, out));
  }
  if (out == size) return x;
  PoolVector<Var> windows;
  for (std::int64_t i = 0; i < out; ++i) {
    const Var window = slice(x, axis, i * size / out, ((i + 1) * size + out - 1) / out);
    windows.push_back(largest ? max(window, {axis}, true) : mean(window, {axis}, true));
  }
  return concat(windows, axis);
}

Var adaptive(const char* name, const Var& x, const Pair& out, bool largest) {
  if (x.rank() != 4) fail(name, fmt::format("x is {}, expected [N, C, ..]", x.shape().str()));
  return adaptive_axis(name, adaptive_axis(name, x, 2, out[0], largest), 3, out[1], largest);
}

}  // namespace

Var max_pool2d(const Var& x, const PoolingOptions& options) {
  return pool("max_pool2d", x, options, true);
}
Var avg_pool2d(const Var& x, const PoolingOptions& options) {
  return pool("avg_pool2d", x, options, false);
}
Var max_pool1d(const Var& x, const PoolingOptions& options) {
  return without_height(
      pool("max_pool1d", with_height("max_pool1d", "x", x), of_one_axis(options), true));
}
Var avg_pool1d(const Var& x, const PoolingOptions& options) {
  return without_height(
      pool("avg_pool1d", with_height("avg_pool1d", "x", x), of_one_axis(options), false));
}

Var adaptive_max_pool2d(const Var& x, std::array<std::int64_t, 2> out) {
  return adaptive("adaptive_max_pool2d", x, out, true);
}
Var adaptive_avg_pool2d(const Var& x, std::array<std::int64_t, 2> out) {
  return adaptive("adaptive_avg_pool2d", x, out, false);
}
Var adaptive_max_pool1d(const Var& x, std::int64_t out) {
  const char* const name = "adaptive_max_pool1d";
  return without_height(adaptive(name, with_height(name, "x", x), {1, out}, true));
}
Var adaptive_avg_pool1d(const Var& x, std::int64_t out) {
  const char* const name = "adaptive_avg_pool1d";
  return without_height(adaptive(name, with_height(name, "x", x), {1, out}, false));
}

}  // namespace tapeloop
