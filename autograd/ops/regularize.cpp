// SPDX-License-Identifier: MIT
// Dropout, layer normalisation, and tensors of random numbers.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

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

namespace {

double largest_of(DType dtype) {
  return dtype == DType::float32 ? static_cast<double>(std::numeric_limits<float>::max())
                                 : std::numeric_limits<double>::max();
}
// from_on: the smallest number of the type that is >= x. just_below: the largest that is < x.
template <class T>
double from_on(double x) {
  const T near = static_cast<T>(x);
  return static_cast<double>(static_cast<double>(near) < x ? std::nextafter(near, INFINITY) : near);
}
template <class T>
double just_below(double x) {
  const T near = static_cast<T>(x);
  return static_cast<double>(static_cast<double>(near) < x ? near
                                                           : std::nextafter(near, -INFINITY));
}

}  // namespace

Tensor random_uniform(const Shape& shape, double low, double high, Random& random, DType dtype) {
  check_float("random_uniform", dtype);
  const double most = largest_of(dtype);
  if (!(low >= -most && high <= most && low <= high)) {
    fail("random_uniform",
         fmt::format("low is {}, high {}: expected numbers of {} with low <= high", low, high,
                     name(dtype)));
  }
  const bool single = dtype == DType::float32;
  double first = low, last = low;
  if (low < high) {
    first = single ? from_on<float>(low) : low;
    last = single ? just_below<float>(high) : just_below<double>(high);
  }
  if (first > last) {
    fail("random_uniform",
         fmt::format("no number of {} lies in [{}, {}); take float64, or a wider range",
                     name(dtype), low, high));
  }
  // Drawn in float64 and rounded once. The rounded number must stay below `high`.
  const Tensor draws = Tensor::empty(shape, DType::float64);
  backend(draws.device())
      .uniform(draws, random.seed, random.take(static_cast<std::uint64_t>(shape.numel())));
  if (std::isfinite(high - low)) {
    transform(Affine{high - low, low}, {draws}, {draws});
  } else {
    transform(Affine{high / 2 - low / 2, low / 2}, {draws}, {draws});
    transform(Affine{2, 0}, {draws}, {draws});
  }
  Tensor result = draws.to(dtype);
  transform(Clamp{first, last}, {result}, {result});
  return result;
}

Tensor random_normal(const Shape& shape, double mean, double deviation, Random& random,
                     DType dtype) {
  check_float("random_normal", dtype);
  if (!(deviation >= 0 && std::abs(mean) + kFarthestNormal * deviation <= largest_of(dtype))) {
    fail("random_normal",
         fmt::format("mean is {}, deviation {}: expected a deviation of 0 or more, and {} must "
                     "hold the mean +- {} deviations",
                     mean, deviation, name(dtype), kFarthestNormal));
  }
  const Tensor draws = Tensor::empty(shape, DType::float64);
  backend(draws.device())
      .normal(draws, random.seed, random.take(static_cast<std::uint64_t>(shape.numel())));
  transform(Affine{deviation, mean}, {draws}, {draws});
  return draws.to(dtype);
}

}  // namespace tapeloop
