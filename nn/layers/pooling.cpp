// SPDX-License-Identifier: MIT
// Masks of lengths, and the reductions over time.
#include "tapeloop/nn/layers/pooling.h"

#include <fmt/format.h>

#include <limits>

#include "tapeloop/autograd/schedule/lengths.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

namespace {

using Lengths = std::span<const std::int64_t>;

Var number(double value, const Var& like) {
  return Var(Tensor::full({}, value, like.dtype(), like.device()));
}

void check_steps(const char* caller, const Var& xs, Lengths lengths) {
  if (!xs.defined() || xs.rank() != 3 || xs.dtype() == DType::int64 || xs.dim(0) == 0) {
    fail(caller, fmt::format("xs are {}, expected [T, N, H] of float32 or float64 with at least "
                             "one time step",
                             xs.defined() ? xs.value().describe() : "undefined"));
  }
  tapeloop::detail::check_lengths(caller, lengths, "xs", xs.shape());
  for (std::size_t n = 0; n < lengths.size(); ++n) {
    if (lengths[n] > 0) continue;
    fail(caller, fmt::format("sequence {} has length 0, expected 1..{}; leave empty sequences out",
                             n, xs.dim(0)));
  }
}

// [T, N, 1]: 1 within the lengths, else 0.
Var mask_of(Lengths lengths, const Var& xs) {
  return Var(
      tapeloop::detail::mask_within(lengths, xs.dim(0), xs.dtype(), xs.device()).insert_axis(2));
}

}  // namespace

Var mean_over_time(const Var& xs, Lengths lengths) {
  check_steps("mean_over_time", xs, lengths);
  if (lengths.empty()) return mean(xs, {0});
  // select() instead of a product: 0 times NaN would be NaN.
  const Var total = sum(select(mask_of(lengths, xs), xs, number(0, xs)), {0});
  const Tensor counts = Tensor::from(Shape{xs.dim(1), 1}, lengths);
  return total / Var(counts.to(xs.dtype()).to(xs.device()));
}

Var max_over_time(const Var& xs, Lengths lengths) {
  check_steps("max_over_time", xs, lengths);
  if (lengths.empty()) return max(xs, {0});
  const double least = -std::numeric_limits<double>::infinity();
  return max(select(mask_of(lengths, xs), xs, number(least, xs)), {0});
}

AttentionPooled AttentionPooling::operator()(const Var& xs, Lengths lengths) const {
  check_steps("attention_pooling", xs, lengths);
  if (!key.weight.defined() || xs.dim(2) != key.weight.dim(1)) {
    fail("attention_pooling", fmt::format("xs are {}, expected [T, N, {}]", xs.shape().str(),
                                          key.weight.defined() ? key.weight.dim(1) : 0));
  }
  Var steps = xs, scores;
  if (lengths.empty()) {
    scores = v(tanh(key(xs)));
  } else {
    const Var mask = mask_of(lengths, xs);
    steps = select(mask, xs, number(0, xs));
    const double never = -std::numeric_limits<double>::infinity();
    scores = select(mask, v(tanh(key(steps))), number(never, xs));
  }
  const Var weights = softmax(scores, 0);
  return {sum(weights * steps, {0}), reshape(weights, {xs.dim(0), xs.dim(1)})};
}

}  // namespace tapeloop::nn
