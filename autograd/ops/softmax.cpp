// SPDX-License-Identifier: MIT
// logsumexp, softmax and log-softmax. The largest element of a row is subtracted first, so
// that exp does not overflow.
//   y = log sum_j exp(x_j)            dx = dy exp(x - y)
//   y_i = exp(x_i) / sum_j exp(x_j)   dx = y (dy - sum(y dy))
//   y_i = x_i - logsumexp(x)          dx = dy - exp(y) sum(dy)
// In these gradients 0 times infinity is 0, as everywhere in the chain rule (dual.h).
#include <limits>
#include <string>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

using namespace formula;

using detail::row_shift;

// Finite, so that x - m is never inf - inf.
Var detail::row_shift(const Var& x, std::span<const int> axes) {
  double largest = x.dtype() == DType::float32
                       ? static_cast<double>(std::numeric_limits<float>::max())
                       : std::numeric_limits<double>::max();
  return clamp(max(x.detach(), axes, true), -largest, largest);
}

namespace {

void check_row(const char* name, const Var& x, int axis) {
  if (x.dim(axis) == 0) {
    fail(name, "axis " + std::to_string(x.shape().axis(axis)) + " of " + x.value().describe() +
                   " has no elements; expected at least one");
  }
}

// Calculates the value without recording. Records one tape entry, whose gradient reads y itself.
template <class Forward, class Gradient>
Var with_gradient(const char* name, const Var& x, Forward forward, Gradient gradient) {
  Var y;
  {
    PauseRecording pause;
    y = forward();
  }
  const Var* input = &x;
  if (Recorder::wanted(name, {&input, 1})) {
    Recorder::record(name, {&input, 1}, {&y, 1},
                     [gradient, y = Saved(y, kSavedResult)](const Var& dy, Grads& grads) {
                       grads.add(0, [&] { return gradient(y, dy); });
                     });
  }
  return y;
}

}  // namespace

Var logsumexp(const Var& x, std::span<const int> axes, bool keep) {
  const Var shift = row_shift(x, axes);
  const Var y = detail::logsumexp_above(x, shift, axes) + shift;
  return keep ? y : sum(y, axes);  // removes the axes, which have size 1
}

Var detail::logsumexp_above(const Var& x, const Var& shift, std::span<const int> axes) {
  auto forward = [&] { return log(sum(pointwise(Centered{}, x, shift), axes, true)); };
  return with_gradient("logsumexp", x, forward,
                       [x = Saved(x, 0), shift = Saved(shift)](const Var& y, const Var& dy) {
                         return pointwise(LogSumExpGradient{}, x.get(), shift.get(), y, dy);
                       });
}

Var softmax(const Var& x, int axis) {
  check_row("softmax", x, axis);
  auto forward = [&] {
    Var e = pointwise(Centered{}, x, row_shift(x, {&axis, 1}));
    return e / sum(e, {axis}, true);
  };
  return with_gradient("softmax", x, forward, [axis](const Var& y, const Var& dy) {
    return pointwise(SoftmaxGradient{}, y, dy, sum(pointwise(ChainProduct{}, y, dy), {axis}, true));
  });
}

Var log_softmax(const Var& x, int axis) {
  check_row("log_softmax", x, axis);
  // x - logsumexp(x) would be rounded at the size of x.
  auto forward = [&] {
    Var m = row_shift(x, {&axis, 1});
    Var total = sum(pointwise(Centered{}, x, m), {axis}, true);
    return (x - m) - log(total);
  };
  return with_gradient("log_softmax", x, forward, [axis](const Var& y, const Var& dy) {
    return pointwise(LogSoftmaxGradient{}, y, dy, sum(dy, {axis}, true));
  });
}

}  // namespace tapeloop
