// SPDX-License-Identifier: MIT
// Counter-based random numbers: number i of stream `seed` depends only on (seed, i). So every
// device, every number of threads and every resumed run gets the same numbers. Philox4x32-10
// (Salmon, Moraes, Dror & Shaw 2011).
#pragma once

#include <cmath>
#include <cstdint>

#include "tapeloop/autograd/context/thread_context.h"
#include "tapeloop/autograd/number/number.h"

namespace tapeloop {

// Four random words.
struct Philox4 {
  std::uint32_t word[4];  // 32 random bits each
};

// Four 32-bit words for the key `seed` and the counter (block, use). Uses never share a counter.
TL_HD Philox4 philox(std::uint64_t seed, std::uint64_t block, std::uint32_t use) {
  std::uint32_t key0 = static_cast<std::uint32_t>(seed);
  std::uint32_t key1 = static_cast<std::uint32_t>(seed >> 32);
  Philox4 c{{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), use, 0}};
  for (int round = 0; round < 10; ++round) {
    std::uint64_t product0 = std::uint64_t{0xD2511F53u} * c.word[0];
    std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * c.word[2];
    c = {{static_cast<std::uint32_t>(product1 >> 32) ^ c.word[1] ^ key0,
          static_cast<std::uint32_t>(product1),
          static_cast<std::uint32_t>(product0 >> 32) ^ c.word[3] ^ key1,
          static_cast<std::uint32_t>(product0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}

// The i-th number of the stream in [0, 1), 24 random bits; exact in float32.
TL_HD float uniform_at(std::uint64_t seed, std::uint64_t i) {
  Philox4 block = philox(seed, i / 4, 0);
  return static_cast<float>(block.word[i % 4] >> 8) * (1.0f / 16777216.0f);
}

// The largest magnitude of normal_at(): sqrt(66 log 2), rounded up.
inline constexpr double kFarthestNormal = 6.764;
// The i-th number of the standard normal stream, by Box and Muller from two words of its block. The
// number is finite.
TL_HD double normal_at(std::uint64_t seed, std::uint64_t i) {
  Philox4 block = philox(seed, i / 2, 1);
  std::uint32_t a = block.word[i % 2 * 2];
  std::uint32_t b = block.word[i % 2 * 2 + 1];
  double radius = std::sqrt(-2.0 * std::log((static_cast<double>(a) + 0.5) / 4294967296.0));
  return radius * std::cos(2.0 * 3.14159265358979323846 * (static_cast<double>(b) / 4294967296.0));
}

struct Random;
namespace detail {
// Takes numbers through the random_log and the graph capture of this thread.
std::uint64_t take_watched(Random& random, std::uint64_t count);
void random_ends(const Random& random) noexcept;  // during a graph capture
}  // namespace detail

// A position in a stream of random numbers. Programs pass it around and save it in checkpoints.
// Threads may share a Random: no number is taken twice, but the timing decides which thread gets
// which numbers. For the same numbers in each run, give every thread its own stream by split().
struct Random {
  std::uint64_t seed = 0;  // selects the stream
  std::uint64_t next = 0;  // numbers taken so far

  explicit Random(std::uint64_t seed_value = 0) : seed(seed_value) {}
  Random(const Random&) = default;
  Random& operator=(const Random&) = default;
  ~Random() {
    if (detail::thread_context.graph_capture != nullptr) detail::random_ends(*this);
  }
  // Takes `count` numbers and returns the index of the first one. Takes whole blocks of four, so
  // that calls never share a block.
  std::uint64_t take(std::uint64_t count) {
    const detail::ThreadContext& context = detail::thread_context;
    if (context.random_log != nullptr || context.graph_capture != nullptr) {
      return detail::take_watched(*this, count);
    }
    return advance(count);
  }
  // The same, but without the random_log and the graph capture of this thread.
  std::uint64_t advance(std::uint64_t count) {
    return __atomic_fetch_add(&next, (count + 3) / 4 * 4, __ATOMIC_RELAXED);
  }
  double uniform() {  // one number in [0, 1), 53 bits
    Philox4 block = philox(seed, take(4) / 4, 2);
    std::uint64_t bits = (std::uint64_t{block.word[0]} << 32 | block.word[1]) >> 11;
    return static_cast<double>(bits) * 0x1p-53;
  }
  std::uint64_t below(std::uint64_t bound) {  // an integer in [0, bound); bound is at least 1
    return static_cast<std::uint64_t>(uniform() * static_cast<double>(bound));
  }
  // An independent stream, for a part of the program that takes its own numbers.
  Random split() {
    Philox4 block = philox(seed, take(4) / 4, 3);
    return Random(std::uint64_t{block.word[2]} << 32 | block.word[3]);
  }
  // Whether both give the same numbers from now on.
  bool operator==(const Random&) const = default;
};

}  // namespace tapeloop
