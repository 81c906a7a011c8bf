// SPDX-License-Identifier: MIT
// Sampling: sorts by likelihood, cuts, draws.
#include "tapeloop/nn/decode/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::nn {

namespace {

struct Choice {
  double weight;
  std::int64_t symbol;
};

std::int64_t sample_row(PoolVector<Choice>& choices, Random& random, const SampleOptions& options) {
  // Ties are sorted by symbol, so that the result does not depend on the sorting algorithm.
  const auto likelier = [](const Choice& a, const Choice& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.symbol < b.symbol;
  };
  // Sorts only as many as the cuts need; the most likely one is always first.
  std::size_t kept = choices.size();
  if (options.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(options.top_k));
  const bool cut = kept < choices.size() || options.top_p < 1;
  const auto sorted = static_cast<std::ptrdiff_t>(cut && options.temperature > 0 ? kept : 1);
  std::partial_sort(choices.begin(), choices.begin() + sorted, choices.end(), likelier);
  if (options.temperature == 0) return choices[0].symbol;
  double largest = choices[0].weight;
  double total = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    choices[i].weight = std::exp((choices[i].weight - largest) / options.temperature);
    total += choices[i].weight;
  }
  double reached = 0;
  for (std::size_t i = 0; i < kept && options.top_p < 1; ++i) {
    reached += choices[i].weight;
    if (reached >= options.top_p * total) {
      kept = i + 1;
      total = reached;
    }
  }
  double place = random.uniform() * total;
  std::size_t last = 0;  // the last possible symbol: rounding must not select one of weight 0
  for (std::size_t i = 0; i < kept && place >= 0; ++i) {
    if (choices[i].weight == 0) continue;
    last = i;
    place -= choices[i].weight;
  }
  return choices[last].symbol;
}

}  // namespace

Tensor detail::sample_rows(const Tensor& logits, Random& random, const SampleOptions& options,
                           const std::function<bool(std::int64_t)>& wanted) {
  if (!logits.defined() || logits.rank() != 2 || logits.dim(1) == 0 ||
      logits.dtype() == DType::int64) {
    fail("sample", "logits must be [N, V] of float32 or float64, got " + logits.describe());
  }
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature) || options.top_k < 0 ||
      !(options.top_p > 0 && options.top_p <= 1)) {
    fail("sample", fmt::format("temperature {}, top_k {}, top_p {}: expected a temperature of 0 or "
                               "more, top_k of 0 or "
                               "more, and 0 < top_p <= 1",
                               options.temperature, options.top_k, options.top_p));
  }
  Tensor wide = logits.cpu().to(DType::float64).contiguous();
  const double* rows = wide.read<double>();
  std::int64_t classes = logits.dim(1);
  for (std::int64_t n = 0; n < logits.dim(0); ++n) {
    if (!wanted(n)) continue;
    double largest = -INFINITY;
    for (std::int64_t v = 0; v < classes; ++v) {
      double logit = rows[n * classes + v];
      if (std::isnan(logit) || logit == INFINITY) {
        fail("sample",
             fmt::format("logit [{}, {}] is {}; the model has diverged, or its input was bad", n, v,
                         logit));
      }
      largest = std::max(largest, logit);
    }
    if (largest == -INFINITY) {
      fail("sample",
           fmt::format("every logit of row {} is -inf; leave at least one symbol possible", n));
    }
  }
  Tensor result = Tensor::empty({logits.dim(0)}, DType::int64);
  PoolVector<Choice> choices(static_cast<std::size_t>(classes));
  for (std::int64_t n = 0; n < logits.dim(0); ++n) {
    if (!wanted(n)) {
      if (options.temperature > 0) random.uniform();  // so that other rows draw the same numbers
      result.data<std::int64_t>()[n] = 0;
      continue;
    }
    for (std::int64_t v = 0; v < classes; ++v) {
      choices[static_cast<std::size_t>(v)] = {rows[n * classes + v], v};
    }
    result.data<std::int64_t>()[n] = sample_row(choices, random, options);
  }
  return result;
}

Tensor sample(const Tensor& logits, Random& random, const SampleOptions& options) {
  return detail::sample_rows(logits, random, options, [](std::int64_t) { return true; });
}

}  // namespace tapeloop::nn
