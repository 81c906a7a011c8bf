// SPDX-License-Identifier: MIT
// Convolution as a correlation of the pixels in row-major order: a tap of the kernel reads the
// pixel at a fixed distance. Positions that lie in no image row are calculated too, and left out.
// A stride s is a stride of 1 on blocks of s x s pixels, whose elements are more channels.
#include "tapeloop/autograd/ops/convolution.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/spatial.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/windows.h"

namespace tapeloop {

namespace detail {

namespace {

// Neighbouring taps read neighbouring rows: as one product, whose windows overlap in memory.
struct Run {
  std::int64_t first, count;  // of the taps
  Tensor windows;             // [rows, count * C]
};

// The windows that rows begin .. end - 1 of y read. Only there x [P, C] is copied, between zeros,
// if some window lies in part outside of it.
class Taps {
 public:
  Taps(const Tensor& x, std::span<const std::int64_t> offsets, std::int64_t begin,
       std::int64_t end) {
    const std::int64_t P = x.dim(0), C = x.dim(1);
    const std::int64_t first = begin + offsets.front(), last = end + offsets.back();
    Tensor rows;  // first .. last - 1
    if (first >= 0 && last <= P) {
      rows = x.slice(0, first, last);
    } else {
      const std::int64_t from = std::clamp<std::int64_t>(first, 0, P);
      const std::int64_t to = std::clamp<std::int64_t>(last, from, P);
      rows = Tensor::zeros({last - first, C}, x.dtype(), x.device());
      if (to > from) rows.slice(0, from - first, to - first).copy_from(x.slice(0, from, to));
    }
    for (std::size_t k = 0; k < offsets.size();) {
      std::size_t next = k + 1;
      while (next < offsets.size() && offsets[next] == offsets[next - 1] + 1) ++next;
      const auto count = static_cast<std::int64_t>(next - k);
      const std::int64_t at = offsets[k] - offsets.front();
      runs.push_back({static_cast<std::int64_t>(k), count,
                      windows_of(rows, count).slice(0, at, at + end - begin)});
      k = next;
    }
  }
  PoolVector<Run> runs;
};

// Calls use(begin, end) for the rows of y whose windows lie within x, and for those at both ends.
template <class Use>
void for_parts(std::int64_t P, std::span<const std::int64_t> offsets, Use use) {
  const std::int64_t begin = std::clamp<std::int64_t>(-offsets.front(), 0, P);
  const std::int64_t end = std::clamp<std::int64_t>(P - offsets.back(), begin, P);
  if (begin > 0) use(std::int64_t{0}, begin);
  if (end > begin) use(begin, end);
  if (P > end) use(end, P);
}

void check_rows(const char* name, const Var& a, const Var& b) {
  if (a.dtype() == b.dtype() && a.device() == b.device() && a.dtype() != DType::int64) return;
  fail(name,
       fmt::format("operands must be of one floating-point type on one device, got {} and {}; "
                   "convert one by to(x, dtype) or copy it by to(x, device)",
                   a.value().describe(), b.value().describe()));
}

PoolVector<std::int64_t> negated(std::span<const std::int64_t> offsets) {
  PoolVector<std::int64_t> result(offsets.rbegin(), offsets.rend());
  for (std::int64_t& offset : result) offset = -offset;
  return result;
}
// dx of y = correlate(x, w).
Var correlate_back(const Var& dy, const Var& w, std::span<const std::int64_t> offsets) {
  return correlate(dy, flip(transpose(w, 1, 2), 0), negated(offsets));
}

}  // namespace

Var correlate(const Var& x, const Var& w, std::span<const std::int64_t> offsets) {
  check_rows("correlate", x, w);
  const std::int64_t P = x.dim(0), C = x.dim(1), O = w.dim(2);
  const Operation operation("correlate");
  Tensor y = Tensor::empty({P, O}, x.dtype(), x.device());
  const Tensor rows = x.value().contiguous(), weights = w.value().contiguous();
  for_parts(y.numel() > 0 ? P : 0, offsets, [&](std::int64_t begin, std::int64_t end) {
    const Taps taps(rows, offsets, begin, end);
    PoolVector<Product> products;
    for (const Run& run : taps.runs) {
      products.push_back(
          {run.windows.insert_axis(0),
           weights.slice(0, run.first, run.first + run.count).reshape({1, run.count * C, O})});
    }
    backend(x.device()).matmul(y.slice(0, begin, end).insert_axis(0), products, false);
  });
  return record("correlate", {&x, &w}, std::move(y), [&] {
    return [x = keep_if(w, x, 0), w = keep_if(x, w, 1),
            offsets = PoolVector<std::int64_t>(offsets.begin(), offsets.end())](const Var& dy,
                                                                                Grads& grads) {
      grads.add(0, [&] { return correlate_back(dy, w, offsets); });
      grads.add(1, [&] { return correlate_weight(x, dy, offsets); });
    };
  });
}

Var correlate_weight(const Var& x, const Var& dy, std::span<const std::int64_t> offsets) {
  check_rows("correlate_weight", x, dy);
  const std::int64_t C = x.dim(1), O = dy.dim(1);
  const auto K = static_cast<std::int64_t>(offsets.size());
  const Operation operation("correlate_weight");
  Tensor dw = Tensor::empty({K, C, O}, x.dtype(), x.device());
  const Tensor rows = x.value().contiguous();
  bool accumulate = false;
  for_parts(O > 0 ? x.dim(0) : 0, offsets, [&](std::int64_t begin, std::int64_t end) {
    const Taps taps(rows, offsets, begin, end);
    const Tensor right = dy.value().slice(0, begin, end).insert_axis(0);
    for (const Run& run : taps.runs) {
      const Product product[] = {{run.windows.transpose(0, 1).insert_axis(0), right}};
      backend(x.device())
          .matmul(dw.slice(0, run.first, run.first + run.count).reshape({1, run.count * C, O}),
                  product, accumulate);
    }
    accumulate = true;
  });
  if (!accumulate) dw.fill(0);
  return record("correlate_weight", {&x, &dy}, std::move(dw), [&] {
    return [x = keep_if(dy, x, 0), dy = keep_if(x, dy, 1),
            offsets = PoolVector<std::int64_t>(offsets.begin(), offsets.end())](const Var& ddw,
                                                                                Grads& grads) {
      grads.add(0, [&] { return correlate_back(dy, ddw, offsets); });
      grads.add(1, [&] { return correlate(x, ddw, offsets); });
    };
  });
}

}  // namespace detail

namespace {

using Pair = std::array<std::int64_t, 2>;
using detail::check_pair;
using detail::windows_along;

struct Geometry {
  Pair extent;  // of the dilated kernel
  Pair out;     // H', W'
};

// Axis `axis` of x, with elements of the image itself before and after it; `after` may be negative.
Var mirrored_axis(const Var& x, int axis, std::int64_t before, std::int64_t after, Padding mode) {
  const std::int64_t size = x.dim(axis);
  const Tensor index = Tensor::empty({before + size + after}, DType::int64);
  auto* const at = index.data<std::int64_t>();
  for (std::int64_t i = 0; i < index.numel(); ++i) {
    std::int64_t from = i - before;
    if (mode == Padding::reflect) {  // what lies beyond a second border is never read
      from = from < 0 ? -from : from >= size ? 2 * size - 2 - from : from;
    }
    at[i] = std::clamp<std::int64_t>(from, 0, size - 1);
  }
  return take(x, index.to(x.device()), axis);
}

// x [N, C, H, W] as pixels [N, height, width, C] with their padding. Sizes are multiples of the
// stride: the last window ends within them.
Var pixels_of(const Var& x, const ConvolutionOptions& o, const Geometry& g) {
  Var pixels = permute(x, {0, 2, 3, 1});
  PoolVector<Margin> zeros;
  for (int axis = 1; axis <= 2; ++axis) {
    const auto a = static_cast<std::size_t>(axis - 1);
    const std::int64_t needed = (g.out[a] - 1) * o.stride[a] + g.extent[a];
    const std::int64_t size = (needed + o.stride[a] - 1) / o.stride[a] * o.stride[a];
    const std::int64_t before = o.padding[a], after = size - before - x.dim(axis + 1);
    if (o.mode != Padding::zeros && o.padding[a] > 0) {
      pixels = mirrored_axis(pixels, axis, before, after, o.mode);
      continue;
    }
    if (after < 0) pixels = slice(pixels, axis, 0, pixels.dim(axis) + after);
    if (before > 0 || after > 0) {
      zeros.push_back({axis, before, std::max<std::int64_t>(0, after)});
    }
  }
  return zeros.empty() ? pixels : pad(pixels, zeros);
}

// The rows of a kernel axis at a distance of `dilation`, and zeros up to a multiple of `stride`.
Var spread_taps(const Var& w, int axis, std::int64_t dilation, std::int64_t stride) {
  Var result = w;
  const std::int64_t taps = w.dim(axis);
  if (dilation > 1) {
    const Shape shape = w.shape().with(axis, taps * dilation);
    result = reshape(pad(insert_axis(w, axis + 1), {{axis + 1, 0, dilation - 1}}), shape);
    result = slice(result, axis, 0, (taps - 1) * dilation + 1);
  }
  const std::int64_t rest = result.dim(axis) % stride;
  return rest == 0 ? result : pad(result, {{axis, 0, stride - rest}});
}

Geometry geometry_of(const char* name, const Var& x, const Var& w, const ConvolutionOptions& o) {
  Geometry g{};
  for (int a = 0; a < 2; ++a) {
    const auto i = static_cast<std::size_t>(a);
    g.extent[i] = o.dilation[i] * (w.dim(2 + a) - 1) + 1;
    g.out[i] = windows_along(name, x.dim(2 + a), o.padding[i], g.extent[i], o.stride[i]);
    if (o.mode == Padding::reflect && o.padding[i] >= x.dim(2 + a)) {
      fail(name, fmt::format("a padding of {} reflects an image of {} elements; expected less than "
                             "its size",
                             o.padding[i], x.dim(2 + a)));
    }
  }
  return g;
}

void check_convolution(const char* name, const Var& x, const Var& w, const Var& bias,
                       const ConvolutionOptions& o) {
  const bool fits = x.rank() == 4 && w.rank() == 4 && o.groups >= 1 &&
                    x.dim(1) == w.dim(1) * o.groups && w.dim(0) % o.groups == 0 && w.numel() > 0 &&
                    (!bias.defined() || (bias.rank() == 1 && bias.dim(0) == w.dim(0)));
  if (!fits) {
    fail(name, fmt::format("x is {}, weight {}, bias {}, groups {}; expected x [N, C, ..], weight "
                           "[O, C / groups, ..], bias [O], and groups that divide C and O",
                           x.shape().str(), w.shape().str(),
                           bias.defined() ? bias.shape().str() : "undefined", o.groups));
  }
  check_pair(name, "stride", o.stride, 1);
  check_pair(name, "dilation", o.dilation, 1);
  check_pair(name, "padding", o.padding, 0);
}

// One group: pixels [N, height, width, C], their sizes multiples of the stride, and its weights.
Var correlated(const Var& pixels, const Var& w, const ConvolutionOptions& o, const Geometry& g) {
  const std::int64_t n = pixels.dim(0), C = pixels.dim(3), O = w.dim(0);
  const auto [sh, sw] = o.stride;
  const std::int64_t height = pixels.dim(1) / sh, width = pixels.dim(2) / sw;
  Var rows = pixels, kernel = w;
  PoolVector<std::int64_t> offsets;
  if (sh == 1 && sw == 1) {
    kernel = permute(w, {2, 3, 1, 0});
    for (std::int64_t i = 0; i < w.dim(2); ++i) {
      for (std::int64_t j = 0; j < w.dim(3); ++j) {
        offsets.push_back(i * o.dilation[0] * width + j * o.dilation[1]);
      }
    }
  } else {
    rows = permute(reshape(pixels, {n, height, sh, width, sw, C}), {0, 1, 3, 2, 4, 5});
    kernel = spread_taps(spread_taps(w, 2, o.dilation[0], sh), 3, o.dilation[1], sw);
    const std::int64_t kh = kernel.dim(2) / sh, kw = kernel.dim(3) / sw;
    kernel = permute(reshape(kernel, {O, C, kh, sh, kw, sw}), {2, 4, 3, 5, 1, 0});
    for (std::int64_t i = 0; i < kh; ++i) {
      for (std::int64_t j = 0; j < kw; ++j) offsets.push_back(i * width + j);
    }
  }
  const std::int64_t channels = C * sh * sw;
  const Var y = detail::correlate(
      reshape(rows, {n * height * width, channels}),
      reshape(kernel, {static_cast<std::int64_t>(offsets.size()), channels, O}), offsets);
  const Var image = reshape(y, {n, height, width, O});
  return slice(slice(image, 1, 0, g.out[0]), 2, 0, g.out[1]);
}

Var convolve(const char* name, const Var& x, const Var& w, const Var& bias,
             const ConvolutionOptions& o) {
  check_convolution(name, x, w, bias, o);
  const Geometry g = geometry_of(name, x, w, o);
  const Var pixels = pixels_of(x, o, g);
  Var y;
  if (o.groups == 1) {
    y = correlated(pixels, w, o, g);
  } else {
    const PoolVector<Var> inputs = chunk(pixels, static_cast<int>(o.groups), 3);
    const PoolVector<Var> weights = chunk(w, static_cast<int>(o.groups), 0);
    PoolVector<Var> outputs;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      outputs.push_back(correlated(inputs[i], weights[i], o, g));
    }
    y = concat(outputs, 3);
  }
  if (bias.defined()) y = y + bias;
  return permute(y, {0, 3, 1, 2});
}

}  // namespace

Var conv2d(const Var& x, const Var& weight, const Var& bias, const ConvolutionOptions& options) {
  return convolve("conv2d", x, weight, bias, options);
}
Var conv1d(const Var& x, const Var& weight, const Var& bias, const ConvolutionOptions& options) {
  ConvolutionOptions own = options;
  own.stride[0] = own.dilation[0] = 1, own.padding[0] = 0;
  return detail::without_height(convolve("conv1d", detail::with_height("conv1d", "x", x),
                                         detail::with_height("conv1d", "weight", weight), bias,
                                         own));
}

}  // namespace tapeloop
