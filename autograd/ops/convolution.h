// SPDX-License-Identifier: MIT
// Convolution over one or two spatial axes. Pooling: pooling.h
//   N batch, C channels, O output channels, G groups, k kernel sizes. Channels stand before the
//   spatial axes, as in PyTorch. Axis 0 of an option is the height.
#pragma once

#include <array>

#include "tapeloop/autograd/ops/ops.h"

namespace tapeloop {

// What stands outside of the image: 0, its mirror image without the border, or its border.
enum class Padding { zeros, reflect, replicate };

struct ConvolutionOptions {
  std::array<std::int64_t, 2> stride = {1, 1};    // from one position of the kernel to the next
  std::array<std::int64_t, 2> padding = {0, 0};   // on both sides
  std::array<std::int64_t, 2> dilation = {1, 1};  // distance between the elements of the kernel
  std::int64_t groups = 1;                        // G divides C and O
  Padding mode = Padding::zeros;                  // what the padding is
};

// y[n, o, p] = bias[o] + sum over c, k of weight[o, c, k] x[n, c, p stride + k dilation - padding]
//   x [N, C, H, W], weight [O, C/G, k_h, k_w], bias [O] or undefined
//   y [N, O, H', W'], H' = (H + 2 padding - dilation (k_h - 1) - 1) / stride + 1, rounded down
// The kernel is not flipped. Saves x once, with its padding, and the weight. Cost: the products of
// all pixels of the padded image with the kernel; with a stride, a kernel of whole blocks of stride
// x stride pixels at each block. No patches are made on the CPU. Throws if sizes or types do not
// fit.
Var conv2d(const Var& x, const Var& weight, const Var& bias,
           const ConvolutionOptions& options = {});
// The same with one spatial axis: x [N, C, T], weight [O, C/G, k]. Options: those of axis 1.
Var conv1d(const Var& x, const Var& weight, const Var& bias,
           const ConvolutionOptions& options = {});

namespace detail {

// y[p] = sum over k of x[p + offsets[k]] w[k], where rows outside of x are 0.
//   x [P, C], w [K, C, O], offsets ascending, y [P, O]
// On pixels in row-major order this is a convolution. The gradients are operations of this kind:
// dx with the offsets negated, dw by correlate_weight().
Var correlate(const Var& x, const Var& w, std::span<const std::int64_t> offsets);
// dw[k] = sum over p of x[p + offsets[k]]^T dy[p]: [K, C, O].
Var correlate_weight(const Var& x, const Var& dy, std::span<const std::int64_t> offsets);

}  // namespace detail

}  // namespace tapeloop
