// SPDX-License-Identifier: MIT
// Dropout, layer normalisation, and tensors of random numbers.
#include <fmt/format.h>

#include "autograd/backend.h"
#include "autograd/error.h"
#include "autograd/operation.h"
#include "autograd/ops.h"

namespace tapeloop {

using namespace formula;

static void check_float(const char* operation, DType dtype) {
  if (dtype == DType::int64) fail(operation, "works on float32 and float64, got int64");
}

Var dropout(const Var& x, double p, Random& random) {
  if (!(p >= 0 && p < 1)) fail("dropout", fmt::format("p is {}, expected 0 <= p < 1", p));
  check_float("dropout", x.dtype());
  if (p == 0) return x;
  const detail::Operation operation("dropout");
  Tensor u = Tensor::empty(x.shape(), x.dtype(), x.device());
  backend(x.device()).uniform(u, random.seed, random.take(static_cast<std::uint64_t>(x.numel())));
  return pointwise(KeepScaled{p}, x, Var(std::move(u)));
}

Var layer_norm(const Var& x, const Var& weight, const Var& bias, double epsilon) {
  if (x.rank() == 0 || weight.shape() != Shape{x.dim(-1)} || bias.shape() != weight.shape()) {
    fail("layer_norm",
         fmt::format(
             "x is {}, weight {}, bias {}: weight and bias must be [features], the last axis of x",
             x.shape().str(), weight.shape().str(), bias.shape().str()));
  }
  const int last = -1;
  const Var d = detail::from_first(x, {&last, 1});
  const Var centre = mean(d, {last}, true);
  const Var spread = mean(pointwise(SquaredError{}, d, centre), {last}, true);
  return pointwise(ScaleShift{}, pointwise(Standardize{epsilon}, d, centre, spread), weight, bias);
}

Tensor random_uniform(const Shape& shape, double low, double high, Random& random, DType dtype) {
  check_float("random_uniform", dtype);
  Tensor result = Tensor::empty(shape, dtype);
  backend(Device::cpu)
      .uniform(result, random.seed, random.take(static_cast<std::uint64_t>(shape.numel())));
  transform(Affine{high - low, low}, {result}, {result});
  return result;
}

Tensor random_normal(const Shape& shape, double mean, double deviation, Random& random,
                     DType dtype) {
  check_float("random_normal", dtype);
  Tensor result = Tensor::empty(shape, dtype);
  backend(Device::cpu)
      .normal(result, random.seed, random.take(static_cast<std::uint64_t>(shape.numel())));
  transform(Affine{deviation, mean}, {result}, {result});
  return result;
}

}  // namespace tapeloop
