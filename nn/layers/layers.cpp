// SPDX-License-Identifier: MIT
// Constructors of the layers, and their checks.
#include "tapeloop/nn/layers/layers.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

static void check_size(const char* layer, const char* what, std::int64_t size) {
  if (size < 1) fail(layer, fmt::format("{} is {}, expected 1 or more", what, size));
}

Linear::Linear(std::int64_t in, std::int64_t out, Random& random, bool with_bias, DType dtype) {
  check_size("linear", "in", in);
  check_size("linear", "out", out);
  double bound = 1.0 / std::sqrt(static_cast<double>(in));
  weight = uniform_parameter({out, in}, bound, random, dtype);
  if (with_bias) bias = uniform_parameter({out}, bound, random, dtype);
}

Embedding::Embedding(std::int64_t count, std::int64_t width, Random& random, std::int64_t padding,
                     DType dtype)
    : padding_index(padding) {
  check_size("embedding", "count", count);
  check_size("embedding", "width", width);
  if (padding >= count)
    fail("embedding", fmt::format("padding index {} is outside 0..{}", padding, count - 1));
  weight = parameter(random_normal({count, width}, 0, 1, random, dtype));
  if (padding >= 0) weight.value().select(0, padding).fill(0);
}

Var Embedding::operator()(const Tensor& index) const {
  if (padding_index < 0) return embedding(weight, index);
  // The padding row is detached from its history, so it gets no gradient.
  Tensor keep = Tensor::full({weight.dim(0), 1}, 1.0, weight.dtype(), weight.device());
  keep.select(0, padding_index).fill(0);
  return embedding(select(Var(keep), weight, weight.detach()), index);
}

LayerNorm::LayerNorm(std::int64_t features, double eps, DType dtype) : epsilon(eps) {
  check_size("layer_norm", "features", features);
  if (!(eps >= 0) || std::isinf(eps)) {
    fail("layer_norm", fmt::format("epsilon is {}, expected 0 or a small number above 0", eps));
  }
  weight = parameter(Tensor::full({features}, 1.0, dtype));
  bias = parameter(Tensor::zeros({features}, dtype));
}

static void check_dropout(const char* layer, double p) {
  if (!(p >= 0 && p < 1)) fail(layer, fmt::format("p is {}, expected 0 <= p < 1", p));
}

Dropout::Dropout(double probability, Random& source) : p(probability), random(source.split()) {
  check_dropout("dropout", p);
}

Var Dropout::operator()(const Var& x) const {
  return p > 0 && Tape::current() != nullptr ? dropout(x, p, random) : x;
}

Dropout2d::Dropout2d(double probability, Random& source) : p(probability), random(source.split()) {
  check_dropout("dropout2d", p);
}

Var Dropout2d::operator()(const Var& x) const {
  if (x.rank() < 3) fail("dropout2d", fmt::format("x is {}, expected [N, C, ..]", x.shape().str()));
  if (p == 0 || Tape::current() == nullptr) return x;
  Shape channels = x.shape();
  for (int axis = 2; axis < x.rank(); ++axis) channels = channels.with(axis, 1);
  return x * dropout(Var(Tensor::full(channels, 1, x.dtype(), x.device())), p, random);
}

}  // namespace tapeloop::nn
