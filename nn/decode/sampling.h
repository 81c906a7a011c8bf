// SPDX-License-Identifier: MIT
// Draws the next symbol from logits: temperature, top-k, top-p (nucleus).
// Searches are in decoding.h.
#pragma once

#include <cstdint>
#include <functional>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::nn {

struct SampleOptions {
  double temperature = 1.0;  // logits are divided by it; 0: the most likely symbol, not random
  std::int64_t top_k = 0;    // only the k most likely; 0: all
  // Only the most likely symbols whose probabilities together first reach p. Holtzman et al. 2020
  double top_p = 1.0;
};

// Draws one class for each row of logits [N, V]: [N] int64. The probabilities are softmax(logits /
// temperature), cut to top_k, then to top_p, and scaled to the sum 1. A class of probability 0 is
// never drawn. No heap allocation in the steady state. Throws if a logit is NaN or +inf, if all
// logits of a row are -inf, or if an option is out of range.
Tensor sample(const Tensor& logits, Random& random, const SampleOptions& options = {});

namespace detail {
// The same, for wanted rows only. The other rows may hold anything and get class 0.
Tensor sample_rows(const Tensor& logits, Random& random, const SampleOptions& options,
                   const std::function<bool(std::int64_t)>& wanted);
}  // namespace detail

}  // namespace tapeloop::nn
