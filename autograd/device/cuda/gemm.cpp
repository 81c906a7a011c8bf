// SPDX-License-Identifier: MIT
// Matrix products by cuBLAS. A view without a unit stride, which cuBLAS cannot read, is copied
// first.
#include <algorithm>
#include <atomic>
#include <mutex>

#include "tapeloop/autograd/device/cuda/cuda.h"
#include "tapeloop/autograd/device/cuda/gpu.cuh"
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::cuda {
namespace {

std::atomic<bool> tf32_allowed{false};

// Matrices [batch, rows, columns]: row-major, or column-major if `transposed`.
struct Matrices {
  Tensor tensor;
  bool transposed;
  std::int64_t row;  // elements from one row (column, if transposed) to the next
};

// Returns whether the elements of each row are adjacent and the rows do not overlap.
bool rows_lie(const Tensor& m, int row_axis, int column_axis) {
  const std::int64_t columns = m.dim(column_axis);
  return (columns == 1 || m.stride(column_axis) == 1) &&
         (m.dim(row_axis) == 1 || m.stride(row_axis) >= columns);
}
std::int64_t leading(const Tensor& m, int row_axis, int column_axis) {
  return std::max<std::int64_t>(m.dim(row_axis) == 1 ? 1 : m.stride(row_axis),
                                std::max<std::int64_t>(1, m.dim(column_axis)));
}

Matrices readable(const Tensor& given) {
  const bool forwards = given.dim(0) <= 1 || given.stride(0) >= 0;
  if (forwards && rows_lie(given, 1, 2)) return {given, false, leading(given, 1, 2)};
  if (forwards && rows_lie(given, 2, 1)) return {given, true, leading(given, 2, 1)};
  Tensor copied = Tensor::empty(given.shape(), given.dtype(), given.device());
  copy(copied, given);
  return {copied, false, leading(copied, 1, 2)};
}

int small(std::int64_t size) {
  if (size > 0x7fffffff) {
    fail("matmul", "a matrix with " + std::to_string(size) +
                       " rows or columns is larger than cuBLAS takes, 2^31 - 1; cut it into parts");
  }
  return static_cast<int>(size);
}

struct Operand {
  const void* data;
  bool transposed;
  std::int64_t row, between;  // elements between rows, and between matrices
};
struct Sizes {
  std::int64_t rows, columns, inner, batch;
};

// cuBLAS is column-major: it calculates the transposed product of the transposed operands.
template <class T>
void gemm(const Sizes& sizes, const Operand& left, const Operand& right, T* to, std::int64_t to_row,
          std::int64_t to_between, bool accumulate) {
  const T one = 1, beta = accumulate ? T{1} : T{0};
  constexpr bool kSingle = sizeof(T) == 4;
  constexpr cudaDataType kType = kSingle ? CUDA_R_32F : CUDA_R_64F;
  const cublasComputeType_t compute = !kSingle              ? CUBLAS_COMPUTE_64F
                                      : tf32_allowed.load() ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                            : CUBLAS_COMPUTE_32F;
  const cublasOperation_t op_right = right.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t op_left = left.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const int m = small(sizes.columns), n = small(sizes.rows), k = small(sizes.inner);
  const int ld_right = small(right.row), ld_left = small(left.row), ld_to = small(to_row);
  const std::scoped_lock lock(working());
  cublasHandle_t const handle = gpu().blas_handle;
  if (sizes.batch == 1) {
    check(blas().gemm(handle, op_right, op_left, m, n, k, &one, right.data, kType, ld_right,
                      left.data, kType, ld_left, &beta, to, kType, ld_to, compute,
                      CUBLAS_GEMM_DEFAULT),
          "cublasGemmEx");
    return;
  }
  check(
      blas().gemm_batched(handle, op_right, op_left, m, n, k, &one, right.data, kType, ld_right,
                          right.between, left.data, kType, ld_left, left.between, &beta, to, kType,
                          ld_to, to_between, small(sizes.batch), compute, CUBLAS_GEMM_DEFAULT),
      "cublasGemmStridedBatchedEx");
}

template <class T>
void product(const Tensor& to, const Tensor& a, const Tensor& b, bool accumulate) {
  const std::int64_t batch = to.dim(0);
  if (to.numel() == 0) return;
  if (a.dim(2) == 0) {
    if (!accumulate) fill(to, 0);
    return;
  }
  const Matrices left = readable(a), right = readable(b);
  const auto between = [&](const Tensor& m) { return batch == 1 ? 0 : m.stride(0); };
  const auto operand = [&](const Matrices& m) {
    return Operand{m.tensor.raw(), m.transposed, m.row, between(m.tensor)};
  };
  gemm<T>({to.dim(1), to.dim(2), a.dim(2), batch}, operand(left), operand(right),
          static_cast<T*>(to.raw()), to.dim(1) == 1 ? to.dim(2) : to.stride(1), between(to),
          accumulate);
}

}  // namespace

void allow_tf32(bool allowed) { tf32_allowed = allowed; }

void matmul(const Tensor& to, std::span<const Product> products, bool accumulate) {
  with_float_type(to.dtype(), [&]<class T>(T) {
    if (products.empty() && !accumulate) fill(to, 0);
    for (const Product& p : products) {
      product<T>(to, p.a, p.b, accumulate);
      accumulate = true;
    }
  });
}

template <class T>
void multiply_rows(T* to, std::int64_t to_row, const T* x, std::int64_t x_row, std::int64_t rows,
                   const Tensor& w, bool accumulate) {
  const Matrices right = readable(w.insert_axis(0));
  const bool one = rows == 1;  // then the distance between rows may be any number
  gemm<T>({rows, w.dim(1), w.dim(0), 1}, {x, false, one ? w.dim(0) : x_row, 0},
          {right.tensor.raw(), right.transposed, right.row, 0}, to, one ? w.dim(1) : to_row, 0,
          accumulate);
}
template void multiply_rows(float*, std::int64_t, const float*, std::int64_t, std::int64_t,
                            const Tensor&, bool);
template void multiply_rows(double*, std::int64_t, const double*, std::int64_t, std::int64_t,
                            const Tensor&, bool);

void linear(const Tensor& to, const Tensor& x, const Tensor& w, const Tensor& init) {
  if (init.defined()) copy(to, init);
  const Product one[] = {{x.insert_axis(0), w.transpose(0, 1).insert_axis(0)}};
  matmul(to.insert_axis(0), one, init.defined());
}

}  // namespace tapeloop::cuda
