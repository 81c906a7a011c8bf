// SPDX-License-Identifier: MIT
// Losses: a pointwise formula of elementwise.h or a row operation, then a reduction.
#include "tapeloop/autograd/ops/losses.h"

#include <fmt/format.h>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

Var reduced(const Var& items, Reduce reduce) {
  switch (reduce) {
    case Reduce::mean: return mean(items);
    case Reduce::sum: return sum(items);
    default: return items;
  }
}

void check_target(const char* name, const Var& x, const Var& target) {
  if (x.shape() != target.shape()) {
    fail(name, fmt::format("the prediction is {}, the target {}; shapes must be equal",
                           x.shape().str(), target.shape().str()));
  }
}

// classes: the targets, with class 0 for ignored ones. counted: 1 for targets that count, else 0.
struct Targets {
  Tensor classes;
  Tensor counted;
  bool all_count = false;  // true only if this is known
};

Targets checked_targets(const Var& logits, const Tensor& target, std::int64_t ignore_index) {
  const Device device = target.device();
  Targets result{Tensor::empty(target.shape(), DType::int64, device),
                 Tensor::empty(target.shape(), logits.dtype(), device)};
  result.all_count =
      backend(device).targets(result.classes, result.counted, target, ignore_index, logits.dim(-1));
  result.classes = result.classes.to(logits.device());
  result.counted = result.counted.to(logits.device());
  return result;
}

}  // namespace

Var cross_entropy(const Var& logits, const Tensor& target, const CrossEntropyOptions& options) {
  if (!target.defined() || target.dtype() != DType::int64 || logits.rank() < 1 ||
      logits.dtype() == DType::int64 || target.shape() != logits.shape().removed(-1)) {
    fail("cross_entropy",
         fmt::format("logits are {}, target {}; expected logits [..., V] and an int64 target "
                     "[...], the logits float32 or float64",
                     logits.value().describe(), target.describe()));
  }
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) {
    fail("cross_entropy",
         fmt::format("label_smoothing is {}, expected 0 to 1", options.label_smoothing));
  }
  if (options.class_weights.defined() && options.class_weights.shape() != Shape{logits.dim(-1)}) {
    fail("cross_entropy",
         fmt::format("class_weights are {}, expected one weight for each of the {} classes",
                     options.class_weights.shape().str(), logits.dim(-1)));
  }
  const detail::Operation operation("cross_entropy");
  Targets targets = checked_targets(logits, target, options.ignore_index);
  // select() instead of a product with 0: logits of an ignored item may be infinite or NaN, and a
  // product would make the gradient NaN.
  Var x = logits;
  if (!targets.all_count) {
    Var zero(Tensor::zeros({}, logits.dtype(), logits.device()));
    x = select(Var(targets.counted.insert_axis(-1)), logits, zero);
  }
  // The largest logit of each row is subtracted. It has no gradient: it cancels.
  const int last = -1;
  Var shift = detail::row_shift(x, {&last, 1});
  Var total = detail::logsumexp_above(x, shift, {&last, 1});
  Var chosen = gather(x, targets.classes.insert_axis(-1), -1) - shift;
  Var lost = reshape(total - chosen, target.shape());
  // The weight of each item: the weight of its class, 0 if the item is ignored.
  Var weight(targets.counted);
  if (options.class_weights.defined()) {
    Var by_class = reshape(options.class_weights.detach(), {-1, 1});
    weight = weight * reshape(embedding(by_class, targets.classes), target.shape());
  }
  // An item of weight 0 contributes nothing, even if its loss is infinite.
  Var items = pointwise(formula::ChainProduct{}, lost, weight);
  if (options.label_smoothing > 0) {
    // -sum_c w_c log p_c / V for each item that counts
    Var log_p = (x - shift) - total;
    Var spread = options.class_weights.defined()
                     ? pointwise(formula::ChainProduct{}, log_p, options.class_weights.detach())
                     : log_p;
    Var uniform = sum(spread, {-1}) * Var(targets.counted) / -static_cast<double>(logits.dim(-1));
    items = items * (1.0 - options.label_smoothing) + uniform * options.label_smoothing;
  }
  switch (options.reduce) {
    case Reduce::mean: return sum(items) / sum(weight);
    case Reduce::sum: return sum(items);
    default: return items;
  }
}

Var mse(const Var& x, const Var& target, Reduce reduce) {
  check_target("mse", x, target);
  return reduced(pointwise(formula::SquaredError{}, x, target), reduce);
}
Var l1_loss(const Var& x, const Var& target, Reduce reduce) {
  check_target("l1_loss", x, target);
  return reduced(pointwise(formula::AbsoluteError{}, x, target), reduce);
}
Var huber(const Var& x, const Var& target, double delta, Reduce reduce) {
  check_target("huber", x, target);
  if (!(delta > 0)) fail("huber", fmt::format("delta is {}, expected more than 0", delta));
  return reduced(pointwise(formula::Huber{delta}, x, target), reduce);
}
Var bce_with_logits(const Var& logits, const Var& target, Reduce reduce) {
  check_target("bce_with_logits", logits, target);
  return reduced(pointwise(formula::BceWithLogits{}, logits, target), reduce);
}
Var kl_divergence(const Var& log_probabilities, const Var& target, Reduce reduce) {
  check_target("kl_divergence", log_probabilities, target);
  return reduced(pointwise(formula::KlTerm{}, log_probabilities, target), reduce);
}

}  // namespace tapeloop
