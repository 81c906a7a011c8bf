// SPDX-License-Identifier: MIT
// Batch normalisation by operations.
#include "tapeloop/nn/layers/batch_norm.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/random_log.h"
#include "tapeloop/nn/layers/norm_gates.h"

namespace tapeloop::nn {

namespace detail {

Moments moments(const Var& x, std::span<const int> axes) {
  const Var average = mean(x, axes, true), centred = x - average;
  return {average, mean(square(centred), axes, true), centred};
}
Moments moments(const Var& x, std::initializer_list<int> axes) {
  return moments(x, std::span<const int>(axes.begin(), axes.size()));
}

Var normalised(const Var& x, const Moments& m, double epsilon, const Var& weight, const Var& bias) {
  const Var deviation = sqrt(m.variance + epsilon);  // few elements
  const Var scale = weight.defined() ? weight / deviation : 1.0 / deviation;
  if (!m.centred.defined() && bias.defined()) return pointwise(Normalise{}, x, m.mean, scale, bias);
  const Var y = (m.centred.defined() ? m.centred : x - m.mean) * scale;
  return bias.defined() ? y + bias : y;
}

// As normalised() by the moments of x itself over the axes, as one operation: it passes over x less
// often. `values`: the elements of x, contiguous; `given`: their moments, without a gradient.
static Var normalised_by_batch(const Var& x, const Var& values, const Moments& given,
                               std::span<const int> axes, double epsilon, const Var& weight,
                               const Var& bias) {
  Tensor y;
  {
    const PauseRecording pause;
    const Var scale = weight / sqrt(given.variance + epsilon);
    y = pointwise(Normalise{}, values, given.mean, scale, bias).value();
  }
  return record("batch_norm", {&x, &weight, &bias}, std::move(y), [&] {
    return [x = Saved<Var>(x, 0), values = Saved<Var>(values), weight = Saved<Var>(weight, 1),
            mean = given.mean, variance = given.variance, epsilon,
            axes = PoolVector<int>(axes.begin(), axes.end())](const Var& dy, Grads& grads) {
      // A second derivative must know that the moments depend on x.
      const bool again = grads.recording();
      const Var& from = again ? x.get() : values.get();
      const Moments m = again ? moments(from, axes) : Moments{mean, variance, {}};
      const std::int64_t elements = from.numel() / m.mean.numel();  // of a channel
      const auto count = static_cast<double>(elements);
      const Var inverse = 1.0 / sqrt(m.variance + epsilon), sum_dy = sum(dy, axes, true);
      const Var sum_product = sum(pointwise(CentredProduct{}, dy, from, m.mean), axes, true);
      grads.add(0, [&] {
        const Var a = weight.get() * inverse;
        return pointwise(NormaliseGradient{}, dy, from, m.mean, a, a * sum_dy * (1 / count),
                         a * inverse * inverse * sum_product * (1 / count));
      });
      grads.add(1, [&] { return sum_product * inverse; });
      grads.add(2, sum_dy);
    };
  });
}

void move_running(const Tensor& mean, const Tensor& variance, const Moments& batch,
                  std::int64_t count, double momentum) {
  if (tapeloop::detail::repeats_a_run()) return;
  const PauseRecording pause;
  const auto move = [&](const Tensor& running, const Var& value) {
    const Var given = reshape(value, running.shape());
    running.copy_from(((1 - momentum) * Var(running) + momentum * given).value());
  };
  const double unbiased = static_cast<double>(count) / static_cast<double>(count - 1);
  move(mean, batch.mean);
  move(variance, unbiased * batch.variance);
}

void check_batch_norm(const char* layer, double epsilon, double momentum) {
  if (!(epsilon >= 0) || std::isinf(epsilon)) {
    fail(layer, fmt::format("epsilon is {}, expected 0 or a small number above 0", epsilon));
  }
  if (!(momentum >= 0 && momentum <= 1)) {
    fail(layer, fmt::format("momentum is {}, expected 0 to 1", momentum));
  }
}

}  // namespace detail

BatchNorm::BatchNorm(std::int64_t channels, double eps, double m, DType dtype)
    : epsilon(eps), momentum(m) {
  if (channels < 1) {
    fail("batch_norm", fmt::format("channels is {}, expected 1 or more", channels));
  }
  detail::check_batch_norm("batch_norm", eps, m);
  weight = parameter(Tensor::full({channels}, 1, dtype));
  bias = parameter(Tensor::zeros({channels}, dtype));
  running_mean = Var(Tensor::zeros({channels}, dtype));
  running_var = Var(Tensor::full({channels}, 1, dtype));
  num_batches_tracked = Var(Tensor::zeros({}, dtype));
}

Var BatchNorm::operator()(const Var& x) const {
  const std::int64_t channels = weight.dim(0);
  if (x.rank() < 2 || x.dim(1) != channels) {
    fail("batch_norm", fmt::format("x is {}, expected [N, {}, ..]", x.shape().str(), channels));
  }
  // Of the axes of x only that of the channels.
  Shape shape{1, channels};
  PoolVector<int> axes{0};
  for (int axis = 2; axis < x.rank(); ++axis) {
    shape = shape.inserted(axis, 1);
    axes.push_back(axis);
  }
  const Var scale = reshape(weight, shape), shift = reshape(bias, shape);
  if (Tape::current() == nullptr || frozen) {
    const detail::Moments running{reshape(running_mean, shape), reshape(running_var, shape), {}};
    return detail::normalised(x, running, epsilon, scale, shift);
  }
  const std::int64_t count = x.numel() / channels;
  if (count < 2) {
    fail("batch_norm",
         fmt::format("x is {}: a channel has {} element{}, and training needs two or more; give a "
                     "larger batch, call it without a tape, or set frozen",
                     x.shape().str(), count, count == 1 ? "" : "s"));
  }
  const Var values(x.value().contiguous());  // a convolution's result is not
  const detail::Moments batch{mean(values, axes, true), var(values, axes, 0, true), {}};
  detail::move_running(running_mean.value(), running_var.value(), batch, count, momentum);
  if (!tapeloop::detail::repeats_a_run()) {
    const PauseRecording pause;
    const Tensor& batches = num_batches_tracked.value();
    batches.copy_from((Var(batches) + 1.0).value());
  }
  return detail::normalised_by_batch(x, values, batch, axes, epsilon, scale, shift);
}

}  // namespace tapeloop::nn
