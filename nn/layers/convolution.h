// SPDX-License-Identifier: MIT
// Layers of convolution. Names and initial values are PyTorch's.
#pragma once

#include "tapeloop/autograd/ops/convolution.h"
#include "tapeloop/nn/layers/module.h"

namespace tapeloop::nn {

// y = conv2d(x, weight, bias)      x [N, C, H, W] -> y [N, O, H', W']; sizes: conv2d()
// Weight and bias are initialised from U(+-1/sqrt(C/G k_h k_w)).
struct Conv2d {
  Var weight;                  // [O, C/G, k_h, k_w]
  Var bias;                    // [O], undefined if the layer has none
  ConvolutionOptions options;  // as given
  Conv2d() = default;
  // kernel: k_h and k_w. Throws if a size is less than 1, or if the groups do not divide C and O.
  Conv2d(std::int64_t channels, std::int64_t outputs, std::array<std::int64_t, 2> kernel,
         Random& random, const ConvolutionOptions& options = {}, bool with_bias = true,
         DType dtype = DType::float32);
  Var operator()(const Var& x) const { return conv2d(x, weight, bias, options); }
  void visit(Visitor& v) const { v("weight", weight), v("bias", bias); }
};

// The same over time: x [N, C, T] -> y [N, O, T'], weight [O, C/G, k]. Options: those of axis 1.
struct Conv1d {
  Var weight;                  // [O, C/G, k]
  Var bias;                    // [O], undefined if the layer has none
  ConvolutionOptions options;  // as given
  Conv1d() = default;
  Conv1d(std::int64_t channels, std::int64_t outputs, std::int64_t kernel, Random& random,
         const ConvolutionOptions& options = {}, bool with_bias = true,
         DType dtype = DType::float32);
  Var operator()(const Var& x) const { return conv1d(x, weight, bias, options); }
  void visit(Visitor& v) const { v("weight", weight), v("bias", bias); }
};

}  // namespace tapeloop::nn
