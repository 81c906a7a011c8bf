// SPDX-License-Identifier: MIT
// Uniform random numbers, many at once. Compiled once for each instruction set.
#pragma once

#include "tapeloop/autograd/number/random.h"

namespace tapeloop::cpu {

// Numbers first .. first + count - 1 of a stream: those of uniform_at().
template <class Isa, class T>
void uniform_numbers(T* out, std::int64_t count, std::uint64_t seed, std::uint64_t first) {
  constexpr std::int64_t kBlocks = 16;  // of four numbers, side by side
  const auto one = [&](std::int64_t i) {
    out[i] = static_cast<T>(uniform_at(seed, first + static_cast<std::uint64_t>(i)));
  };
  std::int64_t i = 0;
  for (; i < count && (first + static_cast<std::uint64_t>(i)) % 4 != 0; ++i) one(i);
  for (; i + 4 * kBlocks <= count; i += 4 * kBlocks) {
    const std::uint64_t block = (first + static_cast<std::uint64_t>(i)) / 4;
    Philox4 words[kBlocks];
    for (std::int64_t k = 0; k < kBlocks; ++k) {
      words[k] = philox(seed, block + static_cast<std::uint64_t>(k), 0);
    }
    for (std::int64_t k = 0; k < kBlocks; ++k) {
      for (std::int64_t j = 0; j < 4; ++j) {
        out[i + 4 * k + j] =
            static_cast<T>(static_cast<float>(words[k].word[j] >> 8) * (1.0f / 16777216.0f));
      }
    }
  }
  for (; i < count; ++i) one(i);
}

}  // namespace tapeloop::cpu
