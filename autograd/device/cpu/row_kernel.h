// SPDX-License-Identifier: MIT
// The product of one vector with weights that are read once, in one stream (row_weights.h). Only
// files that are compiled once per instruction set include this header: every function is a
// template on Isa.
#pragma once

#include "tapeloop/autograd/device/cpu/gemm_tile.h"
#include "tapeloop/autograd/device/cpu/row_weights.h"

namespace tapeloop::cpu {

// This many products are summed before their sum is added to the result: one running sum over a
// long row would lose digits.
inline constexpr std::int64_t kRowDepth = 4096;

// Half: bfloat16 weights are exact in float32, and so is their product with a float32 before the
// FMA rounds. Only the weights lose precision. VDPBF16PS would round `a` too, and was slower on Zen
// 5.
// Far: prefetches weights that do not fit a core's own caches. For smaller weights prefetching
// costs time.
template <class Isa, bool Half, bool Far>
struct RowTile {
  using V = Vec<float, Isa>;
  static constexpr std::int64_t pair_bytes = (Half ? 1 : 2) * Isa::vector_bytes;
  static constexpr std::int64_t ahead = 2048;
  static constexpr int most_registers = Isa::registers == 32 ? 8 : 4;

  struct Pair {
    V even, odd;
  };
  static TL_HD Pair load(const char* from) {
    if constexpr (Half) {
      using Words [[gnu::vector_size(Isa::vector_bytes)]] = std::uint32_t;
      Words words;
      std::memcpy(&words, from, sizeof(words));
      const Words even = words << 16, odd = words & 0xffff0000u;
      return {{__builtin_bit_cast(typename V::Raw, even)},
              {__builtin_bit_cast(typename V::Raw, odd)}};
    } else {
      const auto* at = reinterpret_cast<const float*>(from);
      return {V::load(at), V::load(at + V::width)};
    }
  }

  // Multiplies one chunk of `Registers`. With few registers it takes several pairs of k at once:
  // about eight independent sums hide the latency of FMA.
  template <int Registers>
  static void run(std::int64_t k, const float* a, const char* weights, const float* init,
                  float* y) {
    constexpr int kPairs = Registers >= 3 ? 1 : 4 / Registers;
    constexpr int kSums = 2 * kPairs;
    V sum[kSums * Registers];  // the sums of one register are adjacent
    unroll<kSums * Registers>([&](auto i) __attribute__((always_inline)) { sum[i] = V::splat(0); });
    const auto add = [&](auto i) __attribute__((always_inline)) {
      const V even = V::splat(a[2 * i]), odd = V::splat(a[2 * i + 1]);
      unroll<Registers>([&](auto r) __attribute__((always_inline)) {
        const char* at = weights + (i * Registers + r) * pair_bytes;
        for (std::int64_t line = 0; Far && line < pair_bytes; line += 64)
          __builtin_prefetch(at + ahead + line);
        const Pair w = load(at);
        V& s0 = sum[r * kSums + 2 * i];
        V& s1 = sum[r * kSums + 2 * i + 1];
        s0 = Tile<Isa, float>::multiply_add(even, w.even, s0);
        s1 = Tile<Isa, float>::multiply_add(odd, w.odd, s1);
      });
    };
    for (; k >= 2 * kPairs; k -= 2 * kPairs) {
      unroll<kPairs>(add);
      a += 2 * kPairs;
      weights += kPairs * Registers * pair_bytes;
    }
    for (; k >= 2; k -= 2) {
      add(std::integral_constant<int, 0>{});
      a += 2;
      weights += Registers * pair_bytes;
    }
    if (k == 1) {
      const V even = V::splat(a[0]);
      unroll<Registers>([&](auto r) __attribute__((always_inline)) {
        V& s = sum[r * kSums];
        s = Tile<Isa, float>::multiply_add(even, load(weights + r * pair_bytes).even, s);
      });
    }
    unroll<Registers>([&](auto r) __attribute__((always_inline)) {
      V* s = sum + r * kSums;
      for (int step = kSums / 2; step > 0; step /= 2)
        for (int i = 0; i < step; ++i) s[i] += s[i + step];
      (V::load(init + r * V::width) + s[0]).store(y + r * V::width);
    });
  }

  template <int... I>
  static void multiply_chunks(const RowProduct& x, std::integer_sequence<int, I...>) {
    static constexpr decltype(&run<1>) table[] = {&run<I + 1>...};
    const std::int64_t chunks = (x.registers + x.per_chunk - 1) / x.per_chunk;
    const std::int64_t register_bytes = (x.k + 1) / 2 * pair_bytes;
    for (std::int64_t i = 0; i < chunks; ++i) {
      const std::int64_t first = (x.backwards ? chunks - 1 - i : i) * x.per_chunk;
      const std::int64_t count =
          x.registers - first < x.per_chunk ? x.registers - first : x.per_chunk;
      const char* weights = x.weights + first * register_bytes;
      const float* init = x.init + first * V::width;
      float* const y = x.y + first * V::width;
      for (std::int64_t k = 0; k < x.k || k == 0; k += kRowDepth) {
        const std::int64_t depth = x.k - k < kRowDepth ? x.k - k : kRowDepth;
        table[count - 1](depth, x.a + k, weights, init, y);
        weights += count * (depth / 2) * pair_bytes;
        init = y;
      }
    }
  }
  static void multiply(const RowProduct& x) {
    multiply_chunks(x, std::make_integer_sequence<int, most_registers>{});
  }
};

template <class Isa>
void multiply_row(const RowProduct& product) {
  constexpr decltype(&RowTile<Isa, false, false>::multiply) kinds[2][2] = {
      {&RowTile<Isa, false, false>::multiply, &RowTile<Isa, false, true>::multiply},
      {&RowTile<Isa, true, false>::multiply, &RowTile<Isa, true, true>::multiply}};
  kinds[product.half][product.far](product);
}

// Returns the sum of a[i] b[i].
template <class Isa>
float dot_row(std::int64_t k, const float* a, const float* b) {
  using V = Vec<float, Isa>;
  constexpr int kSums = 4;
  float total = 0;
  do {
    V sum[kSums];
    unroll<kSums>([&](auto i) __attribute__((always_inline)) { sum[i] = V::splat(0); });
    const auto add = [&](auto i) __attribute__((always_inline)) {
      sum[i] = Tile<Isa, float>::multiply_add(V::load(a + i * V::width), V::load(b + i * V::width),
                                              sum[i]);
    };
    std::int64_t depth = k < kRowDepth ? k : kRowDepth;
    k -= depth;
    for (; depth >= kSums * V::width;
         depth -= kSums * V::width, a += kSums * V::width, b += kSums * V::width)
      unroll<kSums>(add);
    for (; depth >= V::width; depth -= V::width, a += V::width, b += V::width)
      add(std::integral_constant<int, 0>{});
    float rest = 0;
    for (; depth > 0; --depth, ++a, ++b) rest += *a * *b;
    total += sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
  } while (k > 0);
  return total;
}

}  // namespace tapeloop::cpu
