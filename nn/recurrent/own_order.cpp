// SPDX-License-Identifier: MIT
// Rows of sequences by index.
#include "tapeloop/nn/recurrent/own_order.h"

namespace tapeloop::nn::detail {

// Rows t N + n of x [.., N, F], for t = step(i, n) of each i < count and n: [count, N, F].
template <class Step>
static Var take_steps(const Var& x, std::int64_t count, Step step) {
  const std::int64_t batch = x.dim(1);
  const Tensor index = Tensor::empty({count, batch}, DType::int64);
  auto* const rows = static_cast<std::int64_t*>(index.raw());
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t n = 0; n < batch; ++n) rows[i * batch + n] = step(i, n) * batch + n;
  }
  return embedding(reshape(x, {x.dim(0) * batch, x.dim(2)}), index.to(x.device()));
}

Var turned(const Var& x, std::span<const std::int64_t> lengths) {
  if (lengths.empty()) return flip(x, 0);
  return take_steps(x, x.dim(0), [&](std::int64_t t, std::int64_t n) {
    const std::int64_t length = lengths[static_cast<std::size_t>(n)];
    return t < length ? length - 1 - t : t;
  });
}

Var last_steps(const Var& x, std::int64_t count, std::span<const std::int64_t> lengths) {
  const std::int64_t steps = x.dim(0) - count;
  if (lengths.empty()) return slice(x, 0, steps, steps + count);
  return take_steps(x, count, [&](std::int64_t i, std::int64_t n) {
    return lengths[static_cast<std::size_t>(n)] + i;
  });
}

}  // namespace tapeloop::nn::detail
