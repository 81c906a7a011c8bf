// SPDX-License-Identifier: MIT
// Matrix products on the CPU: C = A B, or a sum of such products, for matrices with any strides.
// Declarations only; the code is in gemm_kernel.h, compiled once per instruction set. The caller
// checks the shapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

// Element (i, j) is data[i * row_stride + j * column_stride]. A transpose is a view with exchanged
// strides; a stride of 0 repeats a row or column.
template <class T>
struct MatrixView {
  const T* data;
  std::int64_t row_stride;
  std::int64_t column_stride;
};

// One product of a sum: A [M, k] times B [k, N]. All pieces have the M and N of the result; k may
// differ, and may be 0.
template <class T>
struct GemmPiece {
  MatrixView<T> a;
  MatrixView<T> b;
  std::int64_t k;
};

// Pieces are joined into groups of at least this many steps of the inner dimension. A list of
// pieces that is cut between two groups gives the same bits in two calls.
inline constexpr std::int64_t kGemmGroup = 256;

// C = (accumulate ? C : 0) + sum over pieces of A_p B_p   C [M, N] row-major, rows ldc >= N apart
// The pieces behave as one product whose inner dimension is the sum of their k, and cost the same:
// a weight gradient over 100 time steps is 100 pieces and one call. C must not overlap any A or B.
// If accumulate is false, C is only written and may be uninitialised; K = 0 then gives zeros.
// The order of each sum depends only on the sizes and strides, so the result has the same bits for
// any number of threads. K is cut into blocks of at most 256 steps (in a dot product 4096 steps,
// spread over the lanes of a register), and the sums of the blocks are added one after the other.
// So |C - exact| <= (1024 + K / 128) u sum|a b|, with u = 2^-24 for float. Measured at K = 10^6:
// 10^-6 for random numbers of one sign, 3 10^-5 if all products are equal.
// Cost: 2 M N K flops. Fastest if A and B each have a unit stride, on either side. Allocates only
// if a thread needs a larger buffer than ever before.
template <class Isa, class T>
void gemm(std::int64_t m, std::int64_t n, std::span<const GemmPiece<T>> pieces, T* c,
          std::int64_t ldc, bool accumulate);

// The slots of memory::scratch() that products use.
inline constexpr int kGemmPanels = 0, kGemmSmallSide = 1, kGemmTransposed = 2;
static_assert(kGemmTransposed < memory::kScratchSlots);

}  // namespace tapeloop
