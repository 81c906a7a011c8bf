// SPDX-License-Identifier: MIT
// Rows of the table of operations for convolution and pooling, with plain loops that compute the
// same. Checks nothing itself.
#pragma once

#include <limits>

#include "tapeloop/autograd/ops/convolution.h"
#include "tapeloop/autograd/ops/pooling.h"
#include "tests/ops/op_cases.h"

namespace tapeloop::test {

// An image's value at (i, j), which may lie outside.
inline double pixel_at(const Array& x, std::int64_t n, std::int64_t c, std::int64_t i,
                       std::int64_t j, Padding mode, double outside) {
  std::int64_t at[] = {i, j};
  for (int axis = 0; axis < 2; ++axis) {
    const std::int64_t size = x.shape[2 + axis];
    if (at[axis] >= 0 && at[axis] < size) continue;
    if (mode == Padding::zeros) return outside;
    const bool before = at[axis] < 0;
    if (mode == Padding::replicate) at[axis] = before ? 0 : size - 1;
    if (mode == Padding::reflect) at[axis] = before ? -at[axis] : 2 * (size - 1) - at[axis];
  }
  return x.at({n, c, at[0], at[1]});
}

inline Loops conv_loops(const ConvolutionOptions& o) {
  return [o](Arrays x) {
    const Shape &image = x[0].shape, &w = x[1].shape;
    Shape shape{image[0], w[0], 0, 0};
    for (int a = 0; a < 2; ++a) {
      const auto i = static_cast<std::size_t>(a);
      const std::int64_t room =
          image[2 + a] + 2 * o.padding[i] - o.dilation[i] * (w[2 + a] - 1) - 1;
      shape[2 + a] = room / o.stride[i] + 1;
    }
    return make_array(shape, [&](const Index& i) {
      double sum = x.size() > 2 ? x[2].at({i[1]}) : 0;
      const std::int64_t first = i[1] / (w[0] / o.groups) * w[1];  // channel of the group
      for (std::int64_t c = 0; c < w[1]; ++c) {
        for (std::int64_t k = 0; k < w[2]; ++k) {
          for (std::int64_t l = 0; l < w[3]; ++l) {
            const std::int64_t y = i[2] * o.stride[0] + k * o.dilation[0] - o.padding[0];
            const std::int64_t z = i[3] * o.stride[1] + l * o.dilation[1] - o.padding[1];
            sum += x[1].at({i[1], c, k, l}) * pixel_at(x[0], i[0], first + c, y, z, o.mode, 0);
          }
        }
      }
      return sum;
    });
  };
}

inline Loops pool_loops(PoolingOptions o, bool largest) {
  for (std::size_t a = 0; a < 2; ++a) {
    if (o.stride[a] == 0) o.stride[a] = o.kernel[a];
  }
  return [=](Arrays x) {
    Shape shape = x[0].shape;
    for (int a = 0; a < 2; ++a) {
      const auto i = static_cast<std::size_t>(a);
      shape[2 + a] = (shape[2 + a] + 2 * o.padding[i] - o.kernel[i]) / o.stride[i] + 1;
    }
    return make_array(shape, [&](const Index& i) {
      double most = -std::numeric_limits<double>::infinity(), sum = 0;
      for (std::int64_t k = 0; k < o.kernel[0]; ++k) {
        for (std::int64_t l = 0; l < o.kernel[1]; ++l) {
          const std::int64_t y = i[2] * o.stride[0] + k - o.padding[0];
          const std::int64_t z = i[3] * o.stride[1] + l - o.padding[1];
          const double outside = largest ? most : 0;
          const double value = pixel_at(x[0], i[0], i[1], y, z, Padding::zeros, outside);
          most = std::max(most, value), sum += value;
        }
      }
      return largest ? most : sum / static_cast<double>(o.kernel[0] * o.kernel[1]);
    });
  };
}

inline Loops adaptive_loops(std::array<std::int64_t, 2> out, bool largest) {
  return [=](Arrays x) {
    const Shape& image = x[0].shape;
    return make_array({image[0], image[1], out[0], out[1]}, [&](const Index& i) {
      double most = -std::numeric_limits<double>::infinity(), sum = 0, count = 0;
      for (std::int64_t y = 0; y < image[2]; ++y) {
        for (std::int64_t z = 0; z < image[3]; ++z) {
          // The windows of pixel y are those i with i H / out < y + 1 and (i + 1) H / out > y.
          if (i[2] * image[2] >= (y + 1) * out[0] || (i[2] + 1) * image[2] <= y * out[0]) continue;
          if (i[3] * image[3] >= (z + 1) * out[1] || (i[3] + 1) * image[3] <= z * out[1]) continue;
          const double value = x[0].at({i[0], i[1], y, z});
          most = std::max(most, value), sum += value, ++count;
        }
      }
      return largest ? most : sum / count;
    });
  };
}

// Of three axes as of four: [N, C, T] is [N, C, 1, T].
inline Loops of_one_axis(const Loops& loops) {
  return [=](Arrays x) {
    std::vector<Array> images(x.begin(), x.end());
    for (Array& array : images) {
      if (array.shape.rank() == 3) array.shape = array.shape.inserted(2, 1);
    }
    Array y = loops(images);
    y.shape = y.shape.removed(2);
    return y;
  };
}

inline std::vector<OpCase> convolution_cases() {
  std::vector<OpCase> rows;
  const auto conv = [&](const std::string& name, std::vector<std::vector<std::int64_t>> shapes,
                        const ConvolutionOptions& o = {}, std::int64_t large = 0) {
    const auto op = [o](Inputs x) { return conv2d(x[0], x[1], x.size() > 2 ? x[2] : Var(), o); };
    rows.push_back({name, std::move(shapes), op, conv_loops(o), {.large = large}});
  };
  conv("conv2d", {{N, 2, 4, 5}, {3, 2, 3, 2}, {3}}, {}, 300);
  conv("conv2d, one pixel", {{N, 3, 2, 2}, {2, 3, 1, 1}});
  conv("conv2d, padding", {{N, 2, 3, 4}, {2, 2, 3, 3}, {2}}, {.padding = {1, 2}}, 300);
  conv("conv2d, stride", {{N, 2, 6, 5}, {2, 2, 3, 3}}, {.stride = {2, 3}, .padding = {1, 1}});
  conv("conv2d, dilation", {{N, 1, 6, 7}, {2, 1, 2, 3}}, {.padding = {1, 0}, .dilation = {3, 2}});
  conv("conv2d, stride and dilation", {{N, 1, 7, 8}, {2, 1, 3, 2}},
       {.stride = {2, 2}, .padding = {1, 1}, .dilation = {2, 3}});
  conv("conv2d, groups", {{N, 4, 3, 4}, {6, 2, 2, 2}, {6}}, {.padding = {0, 1}, .groups = 2});
  conv("conv2d, each channel alone", {{N, 3, 4, 4}, {3, 1, 3, 3}},
       {.stride = {2, 1}, .padding = {1, 1}, .groups = 3});
  conv("conv2d, reflect", {{N, 1, 4, 5}, {2, 1, 3, 3}},
       {.stride = {2, 1}, .padding = {2, 1}, .mode = Padding::reflect});
  conv("conv2d, replicate", {{N, 1, 3, 4}, {2, 1, 3, 3}},
       {.padding = {2, 1}, .mode = Padding::replicate});
  ConvolutionOptions line;
  line.stride[1] = 2, line.padding[1] = 2, line.dilation[1] = 2;
  rows.push_back({"conv1d",
                  {{N, 2, 8}, {3, 2, 3}, {3}},
                  [line](Inputs x) { return conv1d(x[0], x[1], x[2], line); },
                  of_one_axis(conv_loops(line))});

  const auto pool = [&](const std::string& name, std::vector<std::int64_t> shape,
                        const PoolingOptions& o = {}) {
    rows.push_back({"max_pool2d" + name,
                    {shape},
                    [o](Inputs x) { return max_pool2d(x[0], o); },
                    pool_loops(o, true)});
    rows.push_back({"avg_pool2d" + name,
                    {shape},
                    [o](Inputs x) { return avg_pool2d(x[0], o); },
                    pool_loops(o, false)});
  };
  pool("", {N, 2, 5, 4});
  pool(", overlapping", {N, 1, 6, 5}, {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}});
  PoolingOptions windows;
  windows.kernel = {1, 3}, windows.stride = {1, 2}, windows.padding = {0, 1};
  rows.push_back({"max_pool1d",
                  {{N, 2, 7}},
                  [windows](Inputs x) { return max_pool1d(x[0], windows); },
                  of_one_axis(pool_loops(windows, true))});
  rows.push_back({"avg_pool1d",
                  {{N, 2, 7}},
                  [windows](Inputs x) { return avg_pool1d(x[0], windows); },
                  of_one_axis(pool_loops(windows, false))});
  const auto adaptive = [&](std::vector<std::int64_t> shape, std::array<std::int64_t, 2> out) {
    rows.push_back({"adaptive_max_pool2d",
                    {shape},
                    [out](Inputs x) { return adaptive_max_pool2d(x[0], out); },
                    adaptive_loops(out, true)});
    rows.push_back({"adaptive_avg_pool2d",
                    {shape},
                    [out](Inputs x) { return adaptive_avg_pool2d(x[0], out); },
                    adaptive_loops(out, false)});
  };
  adaptive({N, 2, 5, 7}, {3, 2});
  adaptive({N, 1, 2, 4}, {3, 4});
  rows.push_back({"adaptive_max_pool1d",
                  {{N, 2, 7}},
                  [](Inputs x) { return adaptive_max_pool1d(x[0], 3); },
                  of_one_axis(adaptive_loops({1, 3}, true))});
  rows.push_back({"adaptive_avg_pool1d",
                  {{N, 2, 7}},
                  [](Inputs x) { return adaptive_avg_pool1d(x[0], 3); },
                  of_one_axis(adaptive_loops({1, 3}, false))});
  return rows;
}

}  // namespace tapeloop::test
