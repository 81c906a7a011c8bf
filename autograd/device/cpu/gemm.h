// SPDX-License-Identifier: MIT
// Matrix products on the CPU: C = A B, or a sum of such products, for matrices with any strides.
// Only declarations; the code is in gemm_kernel.h, compiled once per instruction set. No shapes are checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tapeloop {

// Element (i, j) is data[i * row_stride + j * column_stride]; a transpose is a view with its
// strides exchanged, and a stride of 0 repeats a row or column.
template <class T>
struct MatrixView {
  const T* data;
  std::int64_t row_stride;
  std::int64_t column_stride;
};

// One product of a sum: A [M, k] times B [k, N]. M and N are those of the result; k may differ, and
// be 0.
template <class T>
struct GemmPiece {
  MatrixView<T> a;
  MatrixView<T> b;
  std::int64_t k;
};

// Steps of the inner dimension that are at least added up before C is touched: pieces shorter than this are joined.
inline constexpr std::int64_t kGemmGroup = 256;

// C = (accumulate ? C : 0) + sum over pieces of A_p B_p   C [M, N] row-major, rows ldc >= N apart
// The pieces behave as one product whose inner dimension is the sum of their k, and cost the same:
// a weight gradient over 100 time steps is 100 pieces and one call. C must not overlap any A or B.
// With accumulate false C is only written, so it may be uninitialised; a K of 0 then gives zeros.
// The order of each sum depends on the sizes and strides alone, so the result has the same bits for
// any number of threads. K is cut into blocks of at most 256 steps (in a dot product 4096 steps,
// spread over the lanes of a register), and the sums of the blocks are added one after the other.
// So |C - exact| <= (1024 + K / 128) u sum|a b|, with u = 2^-24 for float. Measured at K = 10^6:
// 10^-6 for random numbers of one sign, 3 10^-5 if all products are equal. Cost: 2 M N K flops.
// Fastest if A and B each have a unit stride, on either side. Allocates only if a thread meets a
// larger block than ever before.
template <class Isa, class T>
void gemm(std::int64_t m, std::int64_t n, std::span<const GemmPiece<T>> pieces, T* c,
          std::int64_t ldc, bool accumulate);

// Memory of the calling thread, aligned to 64 bytes, its contents undefined; valid until the next
// call with the same slot in this thread. It grows and is never given back before the thread ends.
enum class GemmBuffer { panels, small_side, transposed };
void* gemm_buffer(GemmBuffer slot, std::size_t bytes);

}  // namespace tapeloop
