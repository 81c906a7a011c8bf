// SPDX-License-Identifier: MIT
// Schedules of sequences: equal or different lengths, both directions, resets.
#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/schedule/builder.h"
#include "tapeloop/autograd/schedule/lengths.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {
namespace {

using detail::at;
using detail::ScheduleBuilder;

constexpr const char* kName = "Schedule::sequences";

void check(std::int64_t T, std::int64_t N, const SequenceOrder& order) {
  if (T < 1 || N < 1) {
    fail(kName, fmt::format("T is {} and N is {}; both must be at least 1", T, N));
  }
  detail::product(kName, detail::product(kName, T, 2), N);  // nodes and external states
  detail::check_lengths(kName, order.lengths, "[T, N]", Shape{T, N});
  detail::check_resets(kName, order.resets, "[T, N]", Shape{T, N});
}

// The batch in the order of the levels: longer sequences first, equal ones in their own order.
struct Batch {
  PoolVector<std::int64_t> sequence;  // [N]: the user's number of each
  PoolVector<std::int64_t> running;   // [longest]: how many have a step s
};

Batch batch_of(std::int64_t T, std::int64_t N, std::span<const std::int64_t> lengths) {
  Batch result{PoolVector<std::int64_t>(at(N)), {}};
  if (lengths.empty()) {
    for (std::int64_t n = 0; n < N; ++n) result.sequence[at(n)] = n;
    result.running.assign(at(T), N);
    return result;
  }
  const std::int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  PoolVector<std::int64_t> longer(at(longest + 1), 0);  // first the number with each length
  for (const std::int64_t length : lengths) ++longer[at(length)];
  std::int64_t count = 0;
  for (std::int64_t length = longest; length >= 0; --length) {
    count += std::exchange(longer[at(length)], count);
  }
  result.running.assign(longer.begin(), longer.end() - 1);
  for (std::int64_t n = 0; n < N; ++n) {
    result.sequence[at(longer[at(lengths[at(n)])]++)] = n;
  }
  return result;
}

class Sequences {
 public:
  Sequences(std::int64_t T, std::int64_t N, const SequenceOrder& order)
      : N_(N),
        order_(order),
        T_(T),
        batch_(batch_of(T, N, order.lengths)),
        levels_(static_cast<std::int64_t>(batch_.running.size())) {
    for (const std::int64_t running : batch_.running) nodes_ += running;
  }

  Schedule build() && {
    if (levels_ == T_ && nodes_ == T_ * N_ && !has_resets()) {
      return ScheduleBuilder::chain(T_, N_, order_.reverse);
    }
    ScheduleBuilder builder(1);
    if (!order_.lengths.empty()) builder.order().resize(at(nodes_));
    const std::int64_t initial = order_.reverse ? nodes_ : 0;
    std::int64_t previous = initial, done = 0;
    PoolVector<std::int64_t> finals(at(N_));  // by the user's numbers
    for (std::int64_t n = 0; n < N_; ++n) finals[at(batch_.sequence[at(n)])] = initial + n;
    for (std::int64_t s = 0; s < levels_; ++s) {
      const std::int64_t count = batch_.running[at(s)];
      done += count;
      const std::int64_t first = order_.reverse ? nodes_ - done : done - count;
      const std::int64_t state = order_.reverse ? first : first + N_;
      builder.level(first, count, state);
      builder.slot([&](std::int64_t i) { return (resets(s, i) ? initial : previous) + i; });
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t n = batch_.sequence[at(i)];
        finals[at(n)] = state + i;
        if (!order_.lengths.empty()) builder.order()[at(first + i)] = time(s, n) * N_ + n;
      }
      previous = state;
    }
    builder.externals(
        N_, [&](std::int64_t i) { return initial + i; },
        [&](std::int64_t i) { return batch_.sequence[at(i)]; });
    builder.finals(N_, [&](std::int64_t n) { return finals[at(n)]; });
    builder.batch(N_);
    return std::move(builder).finish(T_ * N_, N_);
  }

 private:
  // The time of step s of sequence n.
  std::int64_t time(std::int64_t s, std::int64_t n) const {
    if (!order_.reverse) return s;
    return (order_.lengths.empty() ? T_ : order_.lengths[at(n)]) - 1 - s;
  }
  // Whether node i of level s starts again.
  bool resets(std::int64_t s, std::int64_t i) const {
    if (order_.resets.empty()) return false;
    const std::int64_t n = batch_.sequence[at(i)];
    return order_.resets[at(time(s, n) * N_ + n)] != 0;
  }
  // Whether a reset has an effect: at its first step a sequence starts anyway.
  bool has_resets() const {
    if (order_.resets.empty()) return false;
    for (std::int64_t s = 1; s < levels_; ++s) {
      for (std::int64_t i = 0; i < batch_.running[at(s)]; ++i) {
        if (resets(s, i)) return true;
      }
    }
    return false;
  }

  std::int64_t N_;
  const SequenceOrder& order_;
  std::int64_t T_;
  Batch batch_;
  std::int64_t levels_, nodes_ = 0;
};

}  // namespace

Schedule Schedule::sequences(std::int64_t T, std::int64_t N, const SequenceOrder& order) {
  check(T, N, order);
  if (order.lengths.empty() && order.resets.empty()) {
    return ScheduleBuilder::chain(T, N, order.reverse);
  }
  return Sequences(T, N, order).build();
}

}  // namespace tapeloop
