// SPDX-License-Identifier: MIT
// One step of one head of an mLSTM for a single stream. Private to the layers of a Stepper.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace tapeloop::nn::detail {

// Rows of D numbers, and the state. C is [key, value]: the loops over values then have no sums
// across a register.
struct MlstmHead {
  std::int64_t d;
  const float *q, *k, *v;
  float i, log_f;
  float *c, *n, *m;
  float* r;  // out: C q / (max(|n.q|, e^-m) + epsilon)
};

inline float log_sigmoid(float x) {
  return x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x));
}

inline void step_mlstm_head(const MlstmHead& head, float epsilon) noexcept {
  const std::int64_t d = head.d;
  float* const r = head.r;
  float* const n = head.n;
  const bool started = std::any_of(n, n + d, [](float x) { return x != 0; });
  const float kept = head.log_f + *head.m, next = started ? std::max(kept, head.i) : head.i;
  const float keep = started ? std::exp(kept - next) : 0.0f, take = std::exp(head.i - next);
  *head.m = next;
  float nq = 0;
  std::fill_n(r, d, 0.0f);
  for (std::int64_t key = 0; key < d; ++key) {
    const float add = take * head.k[key], query = head.q[key];
    float* const row = head.c + key * d;
    n[key] = keep * n[key] + add;
    nq += n[key] * query;
    for (std::int64_t u = 0; u < d; ++u) {
      row[u] = keep * row[u] + add * head.v[u];
      r[u] += query * row[u];
    }
  }
  const float below = std::max(std::abs(nq), std::exp(-next)) + epsilon;
  for (std::int64_t u = 0; u < d; ++u) r[u] /= below;
}

}  // namespace tapeloop::nn::detail
