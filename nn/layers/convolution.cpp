// SPDX-License-Identifier: MIT
// Constructors of the layers of convolution.
#include "tapeloop/nn/layers/convolution.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

namespace {

// Weight [O, C/G, kernel..] and bias.
template <class Layer>
void make(Layer& layer, const char* name, std::int64_t channels, std::int64_t outputs,
          const Shape& kernel, Random& random, bool with_bias, DType dtype) {
  const std::int64_t groups = layer.options.groups;
  if (channels < 1 || outputs < 1 || kernel.numel() < 1 || groups < 1 || channels % groups != 0 ||
      outputs % groups != 0) {
    fail(name, fmt::format("channels {}, outputs {}, kernel {}, groups {}; expected sizes of 1 or "
                           "more, and groups that divide channels and outputs",
                           channels, outputs, kernel.str(), groups));
  }
  Shape shape{outputs, channels / groups};
  for (const std::int64_t size : kernel) shape = shape.inserted(shape.rank(), size);
  const std::int64_t read = shape.numel() / outputs;  // by one output
  const double bound = 1 / std::sqrt(static_cast<double>(read));
  layer.weight = uniform_parameter(shape, bound, random, dtype);
  if (with_bias) layer.bias = uniform_parameter({outputs}, bound, random, dtype);
}

}  // namespace

Conv2d::Conv2d(std::int64_t channels, std::int64_t outputs, std::array<std::int64_t, 2> kernel,
               Random& random, const ConvolutionOptions& given, bool with_bias, DType dtype)
    : options(given) {
  make(*this, "conv2d", channels, outputs, {kernel[0], kernel[1]}, random, with_bias, dtype);
}
Conv1d::Conv1d(std::int64_t channels, std::int64_t outputs, std::int64_t kernel, Random& random,
               const ConvolutionOptions& given, bool with_bias, DType dtype)
    : options(given) {
  make(*this, "conv1d", channels, outputs, {kernel}, random, with_bias, dtype);
}

}  // namespace tapeloop::nn
