// SPDX-License-Identifier: MIT
// Products of few rows with a matrix that was packed beforehand: the same weights, step after step.
// Only declarations; the code is in panels_kernel.h, compiled once per instruction set. Who packs and
// keeps the panels is in packed_weight.h.
#pragma once

#include <cstdint>

#include "tapeloop/autograd/device/cpu/gemm.h"

namespace tapeloop {

// Packed B [K, N]: panels of one register's width, one after the other, the last one filled up with
// zeros. Element (p, j) stands at ((j / width) * K + p) * width + j % width. Any range of panels can
// thus be multiplied by itself, so the layout does not depend on the number of threads.
inline std::int64_t panel_count(std::int64_t columns, std::int64_t width) {
  return (columns + width - 1) / width;
}

// Columns [first * width, min(last * width, n)) of C = init + A B, with A [M, K] and C [M, N] row-major:
// rows lda and ldc apart. `init` has rows ld_init apart (0 repeats one row: a bias), may be C itself,
// and is zero where null. Each element is summed in an order that depends on K alone: the same bits
// for any M, any range of panels and any number of threads.
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
