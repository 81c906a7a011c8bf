// SPDX-License-Identifier: MIT
// Loss functions, composed of operations: cross-entropy, squared, absolute and Huber errors, BCE,
// KL divergence, CTC. Formulas and defaults are PyTorch's. Losses with a logarithm are in nats.
#pragma once

#include <span>

#include "tapeloop/autograd/ops/ops.h"

namespace tapeloop {

// What a loss returns: the mean or the sum of its elements, or all of them.
enum class Reduce { mean, sum, none };

struct CrossEntropyOptions {
  Var class_weights = {};  // [V]; the mean divides by the sum of the counted items' weights
  std::int64_t ignore_index = -100;  // targets with this value do not count
  double label_smoothing = 0.0;      // 0 to 1: this share of the target is spread over all classes
  Reduce reduce = Reduce::mean;      // over the items
};
// -log softmax(logits)[target]: logits [..., V], target [...] int64. Result: a scalar, or [...] for
// Reduce::none. If all targets are ignored, the mean is NaN and the sum is 0, as in PyTorch.
Var cross_entropy(const Var& logits, const Tensor& target, const CrossEntropyOptions& options = {});

Var mse(const Var& x, const Var& target, Reduce reduce = Reduce::mean);      // (x - t)^2
Var l1_loss(const Var& x, const Var& target, Reduce reduce = Reduce::mean);  // |x - t|
// 0.5 e^2 for |e| <= delta, delta (|e| - 0.5 delta) beyond.
Var huber(const Var& x, const Var& target, double delta = 1.0, Reduce reduce = Reduce::mean);
// Binary cross-entropy of sigmoid(logits) against targets in [0, 1]: softplus(x) - t x.
Var bce_with_logits(const Var& logits, const Var& target, Reduce reduce = Reduce::mean);
// KL(t || exp(x)) = t (log t - x) for log-probabilities x and probabilities t; 0 where t = 0, NaN
// where t < 0.
// Reduce::mean divides by the number of elements (PyTorch's "mean").
Var kl_divergence(const Var& log_probabilities, const Var& target, Reduce reduce = Reduce::mean);

struct CtcOptions {
  std::int64_t blank = 0;  // the class that means "no label"
  // The mean first divides each loss by the length of its target, as PyTorch does.
  Reduce reduce = Reduce::mean;
  bool zero_infinity = false;  // impossible targets count as 0 instead of infinity
};
// Connectionist temporal classification: -log of the sum over all alignments of the target with the
// time steps, calculated in logarithms. Graves, Fernandez, Gomez & Schmidhuber 2006.
// log_probabilities [T, N, C], e.g. from log_softmax; targets [N, L] int64, of which the first
// target_lengths[n] count; input_lengths[n] time steps count, each 1..T. Result: a scalar, or [N]
// for Reduce::none. A target that needs more steps than there are (one per label, one per blank
// between equal labels) has an infinite loss and no gradient. Cost: T pointwise steps over
// [N, 2 L + 1]. First and second derivatives.
Var ctc_loss(const Var& log_probabilities, const Tensor& targets,
             std::span<const std::int64_t> input_lengths,
             std::span<const std::int64_t> target_lengths, const CtcOptions& options = {});

}  // namespace tapeloop
