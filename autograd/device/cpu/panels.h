// SPDX-License-Identifier: MIT
// Products of few rows with a packed matrix: the same weights, step after step. Declarations only:
// the code is in panels_kernel.h, compiled once per instruction set. packed_weight.h packs and
// keeps the panels.
#pragma once

#include <cstdint>

#include "tapeloop/autograd/device/cpu/gemm.h"

namespace tapeloop {

// Packed B [K, N]: panels of one register's width, one after the other; the last panel is filled up
// with zeros. Element (p, j) is at ((j / width) * K + p) * width + j % width. Any range of panels
// can be multiplied by itself, so the layout does not depend on the number of threads.
inline std::int64_t panel_count(std::int64_t columns, std::int64_t width) {
  return (columns + width - 1) / width;
}

// Columns [first * width, min(last * width, n)) of C = init + A B, with A [M, K] and C [M, N]
// row-major: rows lda and ldc apart. `init` has rows ld_init apart (0 repeats one row, such as a
// bias); it may be C itself; null means zero. The order of each sum depends only on K: the same
// bits for any M, any range of panels and any number of threads.
template <class T>
struct PanelProduct {
  std::int64_t m, k;
  const T* a;
  std::int64_t lda;
  const T* panels;
  std::int64_t first, last, n;
  const T* init;
  std::int64_t ld_init;
  T* c;
  std::int64_t ldc;
};

template <class Isa, class T>
void pack_panels(MatrixView<T> b, std::int64_t k, std::int64_t n, T* panels);
template <class Isa, class T>
void multiply_panels(const PanelProduct<T>& product);

}  // namespace tapeloop
