// SPDX-License-Identifier: MIT
// The product with packed panels: keeps a tile of C in registers and reads A and B in place. Only
// files that are compiled once per instruction set include this header: every function is a
// template on Isa.
#pragma once

#include <cstdint>
#include <utility>

#include "tapeloop/autograd/device/cpu/gemm_pack.h"
#include "tapeloop/autograd/device/cpu/gemm_tile.h"
#include "tapeloop/autograd/device/cpu/panels.h"
#include "tapeloop/autograd/number/vec.h"

namespace tapeloop {

template <class Isa, class T>
struct PanelTile {
  using V = Vec<T, Isa>;
  static constexpr int width = V::width;
  static constexpr int most_rows = Isa::registers == 32 ? 8 : 4;
  // Rows x vectors sums, a row of B and an element of A fill the registers. With fewer rows a tile
  // has more vectors: about eight independent sums hide the latency of FMA.
  static constexpr int most_vectors(int rows) {
    const int sums = Isa::registers == 32 ? 24 : 12;
    return sums / rows < 8 ? sums / rows : 8;
  }
  // Steps of the inner dimension in one block, cut as gemm() cuts a single piece: both give the
  // same bits.
  static constexpr std::int64_t most_depth = 1024 / static_cast<std::int64_t>(sizeof(T));

  static constexpr std::int64_t ahead = 24;  // steps of B to prefetch ahead

  // b: the first of `Vectors` panels, panel_stride apart. Touches only the first `columns` columns
  // of C.
  template <int Rows, int Vectors>
  static void run(std::int64_t depth, const T* a, std::int64_t lda, const T* b,
                  std::int64_t panel_stride, const T* init, std::int64_t ld_init, T* c,
                  std::int64_t ldc, std::int64_t columns) {
    V sum[Rows * Vectors];
    unroll<Rows * Vectors>([&](auto i) __attribute__((always_inline)) { sum[i] = V::splat(T{0}); });
    if (init != nullptr) {  // prefetch: it is read last, and is often not in the cache
      unroll<Rows * Vectors>([&](auto i) __attribute__((always_inline)) {
        __builtin_prefetch(init + (i / Vectors) * ld_init + (i % Vectors) * width);
      });
    }
    for (std::int64_t p = 0; p < depth; ++p) {
      V row[Vectors];
      unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
        const T* at = b + v * panel_stride + p * width;
        // The hardware prefetcher loses these streams at every new page, and large weights are not
        // in a near cache.
        __builtin_prefetch(at + ahead * width);
        row[v] = V::load(at);
      });
      unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        const V element = V::splat(a[r * lda + p]);
        unroll<Vectors>([&](auto v) __attribute__((always_inline)) {
          V& s = sum[r * Vectors + v];
          s = Tile<Isa, T>::multiply_add(element, row[v], s);
        });
      });
    }
    if (columns == Vectors * width) {
      unroll<Rows * Vectors>([&](auto i) __attribute__((always_inline)) {
        constexpr int r = i / Vectors;
        constexpr int j = i % Vectors * width;
        const V total = init == nullptr ? sum[i] : V::load(init + r * ld_init + j) + sum[i];
        total.store(c + r * ldc + j);
      });
    } else {
      T edge[Rows * Vectors * width];
      unroll<Rows * Vectors>([&](auto i) __attribute__((always_inline)) {
        sum[i].store(edge + i * width);
      });
      for (int r = 0; r < Rows; ++r) {
        const T* from = edge + r * Vectors * width;
        for (std::int64_t j = 0; j < columns; ++j) {
          c[r * ldc + j] = init == nullptr ? from[j] : init[r * ld_init + j] + from[j];
        }
      }
    }
  }

  using Function = void (*)(std::int64_t, const T*, std::int64_t, const T*, std::int64_t, const T*,
                            std::int64_t, T*, std::int64_t, std::int64_t);

  template <int Index>
  static constexpr Function entry() {
    constexpr int rows = Index / 8 + 1;
    constexpr int vectors = Index % 8 + 1;
    if constexpr (vectors <= most_vectors(rows)) {
      return &run<rows, vectors>;
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
    return find(static_cast<int>((rows - 1) * 8 + vectors - 1),
                std::make_integer_sequence<int, most_rows * 8>{});
  }
};

template <class Isa, class T>
void pack_panels(MatrixView<T> b, std::int64_t k, std::int64_t n, T* panels) {
  constexpr std::int64_t width = Vec<T, Isa>::width;
  for (std::int64_t j = 0; j < n; j += width) {
    const std::int64_t columns = n - j < width ? n - j : width;
    Packer<Isa, T>::pack(b.data + j * b.column_stride, b.row_stride, b.column_stride, k, columns,
                         panels + j * k, width);
  }
}

template <class Isa, class T>
void multiply_panels(const PanelProduct<T>& x) {
  using Kernel = PanelTile<Isa, T>;
  constexpr std::int64_t width = Kernel::width;
  // Divisions take long in a product of few rows; most of these are of numbers that are known, or
  // by 1.
  const auto parts = [](std::int64_t whole, std::int64_t most) {
    return whole <= most ? std::int64_t{whole > 0} : (whole + most - 1) / most;
  };
  const auto part = [](std::int64_t whole, std::int64_t i, std::int64_t count) {
    return count == 1 ? whole * i : whole * i / count;
  };
  const std::int64_t row_tiles = parts(x.m, Kernel::most_rows);
  const std::int64_t tallest = parts(x.m, row_tiles);
  const std::int64_t chunks =
      parts(x.last - x.first, Kernel::most_vectors(static_cast<int>(tallest)));
  const std::int64_t even = (parts(x.k, parts(x.k, Kernel::most_depth)) + 15) / 16 * 16;
  for (std::int64_t step = 0, depth = 0; step < x.k; step += depth) {
    depth = even < x.k - step ? even : x.k - step;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const std::int64_t panel = x.first + part(x.last - x.first, chunk, chunks);
      const std::int64_t vectors = x.first + part(x.last - x.first, chunk + 1, chunks) - panel;
      const std::int64_t column = panel * width;
      const std::int64_t columns = x.n - column < vectors * width ? x.n - column : vectors * width;
      for (std::int64_t tile = 0; tile < row_tiles; ++tile) {
        const std::int64_t row = part(x.m, tile, row_tiles);
        const std::int64_t rows = part(x.m, tile + 1, row_tiles) - row;
        T* c = x.c + row * x.ldc + column;
        const T* init = x.init == nullptr ? nullptr : x.init + row * x.ld_init + column;
        const bool first = step == 0;
        Kernel::find(rows, vectors)(depth, x.a + row * x.lda + step, x.lda,
                                    x.panels + panel * x.k * width + step * width, x.k * width,
                                    first ? init : c, first ? x.ld_init : x.ldc, c, x.ldc, columns);
      }
    }
  }
}

}  // namespace tapeloop
