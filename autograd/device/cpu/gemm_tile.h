// SPDX-License-Identifier: MIT
// The micro kernels of GEMM: each holds one tile of C in registers and runs along the inner
// dimension. They get panels from gemm_kernel.h and know neither strides of A nor cache blocks.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "tapeloop/autograd/device/cpu/gemm_pack.h"
#include "tapeloop/autograd/number/unroll.h"
#include "tapeloop/autograd/number/vec.h"

namespace tapeloop {

// Tile sizes of an instruction set: `rows` x `vectors` accumulators, plus a row of B, fill its
// registers.
template <class Isa>
struct TileShape {
  static constexpr int rows = Isa::registers == 32 ? 8 : 4;
  static constexpr int vectors = Isa::vector_bytes >= 32 ? 3 : 2;
  // Tiles of few rows are wider, so that enough independent sums hide the latency of FMA.
  static constexpr int wide_rows = rows / 2;
  static constexpr int wide_vectors = 2 * vectors;
};

template <class Isa, class T>
struct Tile {
  using V = Vec<T, Isa>;
  static constexpr int width = V::width;

  static TL_HD V multiply_add(V a, V b, V sum) {
    if constexpr (Isa::vector_bytes >= 32) {
      return fma(a, b, sum);
    } else {
      return a * b + sum;  // without FMA instructions fma() would be a library call
    }
  }

  // The sums over the lanes of `group` registers at once, each in the order of sum_lanes().
  static constexpr int group = 16 / static_cast<int>(sizeof(T));
  using Lane [[gnu::vector_size(16)]] = T;

  template <int Bytes, int... I, class Raw>
  static TL_HD auto add_halves(Raw x, std::integer_sequence<int, I...>) {
    constexpr int half = static_cast<int>(sizeof...(I));
    const auto sum =
        __builtin_shufflevector(x, x, I...) + __builtin_shufflevector(x, x, (I + half)...);
    if constexpr (Bytes == 32) {
      return sum;
    } else {
      return add_halves<Bytes / 2>(sum, std::make_integer_sequence<int, half / 2>{});
    }
  }

  static TL_HD Lane sum_lanes_of_group(const V* registers) {
    Lane rows[group];
    unroll<group>([&](auto i) __attribute__((always_inline)) {
      if constexpr (Isa::vector_bytes == 16) {
        rows[i] = registers[i].raw;
      } else {
        rows[i] = add_halves<Isa::vector_bytes>(registers[i].raw,
                                                std::make_integer_sequence<int, width / 2>{});
      }
    });
    TransposeBlock<T, 16>::transpose_within_lanes(rows);
    if constexpr (group == 4) {
      return (rows[0] + rows[2]) + (rows[1] + rows[3]);
    } else {
      return rows[0] + rows[1];
    }
  }

  // C [Rows, columns] = (accumulate ? C : 0) + A B over `depth` steps. Step p of A is at a + p *
  // Rows, one element per row. Step p of B is at b + p * b_stride: Vectors full vectors, all of
  // them readable. Touches only the first `columns` <= Vectors * width columns of C.
  template <int Rows, int Vectors>
  static void run(std::int64_t depth, const T* a, const T* b, std::int64_t b_stride, T* c,
                  std::int64_t ldc, std::int64_t columns, bool accumulate) {
    V sum[Rows * Vectors];
    unroll<Rows * Vectors>([&](auto i) __attribute__((always_inline)) { sum[i] = V::splat(T{0}); });
    for (std::int64_t p = 0; p < depth; ++p) {
      V row[Vectors];
      unroll<Vectors>([&](auto v)
                          __attribute__((always_inline)) { row[v] = V::load(b + v * width); });
      unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        const V element = V::splat(a[r]);
        unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
          V& s = sum[r * Vectors + v];
          s = multiply_add(element, row[v], s);
        });
      });
      a += Rows;
      b += b_stride;
    }
    if (columns == Vectors * width) {
      unroll<Rows * Vectors>([&](auto i) __attribute__((always_inline)) {
        T* to = c + (i / Vectors) * ldc + (i % Vectors) * width;
        (accumulate ? V::load(to) + sum[i] : sum[i]).store(to);
      });
    } else {
      T edge[Rows * Vectors * width];
      unroll<Rows * Vectors>([&](auto i) __attribute__((always_inline)) {
        sum[i].store(edge + i * width);
      });
      for (int r = 0; r < Rows; ++r) {
        T* to = c + r * ldc;
        const T* from = edge + r * Vectors * width;
        for (std::int64_t j = 0; j < columns; ++j) to[j] = accumulate ? to[j] + from[j] : from[j];
      }
    }
  }

  // Dot products for few rows: C [Rows, Columns] = (accumulate ? C : 0) + A B, where the inner
  // dimension is contiguous in both. Row r of A is at a + r * a_stride, column j of B at b + j *
  // b_stride. k >= width.
  template <int Rows, int Columns>
  static void dots(std::int64_t k, const T* a, std::int64_t a_stride, const T* b,
                   std::int64_t b_stride, T* c, std::int64_t ldc, bool accumulate) {
    V sum[Rows * Columns];
    unroll<Rows * Columns>([&](auto i) __attribute__((always_inline)) { sum[i] = V::splat(T{0}); });
    std::int64_t p = 0;
    for (; p + width <= k; p += width) {
      V column[Columns];
      unroll<Columns>([&](auto j) __attribute__((always_inline)) {
        column[j] = V::load(b + j * b_stride + p);
      });
      unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        const V row = V::load(a + r * a_stride + p);
        unroll<Columns>([&](auto j) __attribute__((always_inline)) {
          V& s = sum[r * Columns + j];
          s = multiply_add(row, column[j], s);
        });
      });
    }
    if (p < k) {  // the last full vector again, without the lanes that are already in the sum
      T lane_numbers[width];
      for (int lane = 0; lane < width; ++lane) lane_numbers[lane] = static_cast<T>(lane);
      const auto fresh = V::load(lane_numbers) >= V::splat(static_cast<T>(width - (k - p)));
      const V zero = V::splat(T{0});
      unroll<Rows * Columns>([&](auto i) __attribute__((always_inline)) {
        const V row = select(fresh, V::load(a + (i / Columns) * a_stride + k - width), zero);
        const V column = select(fresh, V::load(b + (i % Columns) * b_stride + k - width), zero);
        sum[i] = multiply_add(row, column, sum[i]);
      });
    }
    if constexpr (Columns % group == 0) {
      unroll<Rows * Columns / group>([&](auto number) __attribute__((always_inline)) {
        constexpr int i = number * group;
        T* to = c + (i / Columns) * ldc + i % Columns;
        Lane total = sum_lanes_of_group(sum + i);
        if (accumulate) {
          Lane old;
          std::memcpy(&old, to, sizeof(Lane));
          total = old + total;
        }
        std::memcpy(to, &total, sizeof(Lane));
      });
    } else {
      unroll<Rows * Columns>([&](auto i) __attribute__((always_inline)) {
        T* to = c + (i / Columns) * ldc + i % Columns;
        *to = accumulate ? *to + sum_lanes(sum[i]) : sum_lanes(sum[i]);
      });
    }
  }
};

// Finds the tile kernel for a number of rows and vectors that is known at run time.
template <class Isa, class T>
struct TileTable {
  using Shape = TileShape<Isa>;
  using Function = void (*)(std::int64_t, const T*, const T*, std::int64_t, T*, std::int64_t,
                            std::int64_t, bool);
  static constexpr int stride = Shape::wide_vectors;

  template <int Index>
  static constexpr Function entry() {
    constexpr int rows = Index / stride + 1;
    constexpr int vectors = Index % stride + 1;
    if constexpr (vectors <= Shape::vectors ||
                  (vectors != Shape::wide_vectors - 1 && rows <= Shape::wide_rows)) {
      return &Tile<Isa, T>::template run<rows, vectors>;
    } else {
      return nullptr;
    }
  }

  template <int... Index>
  static Function find(int index, std::integer_sequence<int, Index...>) {
    static constexpr Function table[] = {entry<Index>()...};
    return table[index];
  }

  static Function find(std::int64_t rows, std::int64_t vectors) {
    return find(static_cast<int>((rows - 1) * stride + vectors - 1),
                std::make_integer_sequence<int, Shape::rows * stride>{});
  }
};

}  // namespace tapeloop
