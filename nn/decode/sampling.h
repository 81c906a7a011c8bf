// SPDX-License-Identifier: MIT
// Choosing the next symbol from logits: temperature, top-k, top-p (nucleus). No search: see beam search elsewhere.
#pragma once

#include <cstdint>
#include <functional>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::nn {

struct SampleOptions {
  double temperature = 1.0;  // logits are divided by it; 0: the most likely symbol, no randomness
  std::int64_t top_k = 0;    // only the k most likely; 0: all
  double top_p =
      1.0;  // only the most likely whose probabilities first reach p together. Holtzman et al. 2020
};

// Draws one class for each row of logits [N, V]: [N] int64. The probabilities are softmax(logits /
// temperature), cut to top_k, then to top_p, and scaled to the sum 1. A class of probability 0 is
// never drawn. No heap allocation in the steady state. Throws if a logit is NaN or +inf, if all
// logits of a row are -inf, and for bad options.
Tensor sample(const Tensor& logits, Random& random, const SampleOptions& options = {});

namespace detail {
// The same, for wanted rows only. The other rows may hold anything and get class 0.
Tensor sample_rows(const Tensor& logits, Random& random, const SampleOptions& options,
                   const std::function<bool(std::int64_t)>& wanted);
}  // namespace detail

}  // namespace tapeloop::nn
