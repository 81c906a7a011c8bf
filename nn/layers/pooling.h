// SPDX-License-Identifier: MIT
// Pooling over time: one vector for each sequence, from the steps within its length.
//   T time steps, N batch, H features, A size of the hidden layer
// `lengths`: [N], each 1..T; none: all sequences have T steps. Steps past a length have no effect,
// get no gradient and may be NaN. Everything throws Error for other shapes and lengths, and if T is
// 0: an empty sequence has no mean.
#pragma once

#include <span>

#include "tapeloop/nn/layers/layers.h"

namespace tapeloop::nn {

// y[n] = (xs[0, n] + .. + xs[L - 1, n]) / L, L the length: xs [T, N, H] -> [N, H].
Var mean_over_time(const Var& xs, std::span<const std::int64_t> lengths = {});
// The largest of xs[0, n] .. xs[L - 1, n], for each feature: xs [T, N, H] -> [N, H]. Equal elements
// share the gradient.
Var max_over_time(const Var& xs, std::span<const std::int64_t> lengths = {});

// The result of AttentionPooling.
struct AttentionPooled {
  Var pooled;   // [N, H]
  Var weights;  // [T, N]: of each sequence they sum to 1, and are 0 past its length
};

// A weighted mean with learned weights. Yang et al. 2016, "Hierarchical Attention Networks":
//   u_t = tanh(W x_t + b)    a = softmax_t(v . u_t)    y = sum_t a_t x_t
// Cost: T N A (H + 1) multiplications.
struct AttentionPooling {
  Linear key;  // W [A, H], b [A]
  Linear v;    // [1, A], no bias
  AttentionPooling() = default;
  // features: H, size: A.
  AttentionPooling(std::int64_t features, std::int64_t size, Random& random,
                   DType dtype = DType::float32)
      : key(features, size, random, true, dtype), v(size, 1, random, false, dtype) {}
  // xs [T, N, H]
  AttentionPooled operator()(const Var& xs, std::span<const std::int64_t> lengths = {}) const;
  void visit(Visitor& visitor) const { visitor("key", key), visitor("v", v); }
};

}  // namespace tapeloop::nn
