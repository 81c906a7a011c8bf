// SPDX-License-Identifier: MIT
// cuBLAS's products by the library's CPU kernels. Checks arguments as cuBLAS does. All handles use
// one stream.
#include "cublas_v2.h"

#include "device_memory.h"
#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/device/cuda/gpu.cuh"

const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : "CUBLAS_STATUS_INVALID_VALUE";
}
cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
static cudaStream_t stream_of_all = nullptr;
cublasStatus_t cublasSetStream(cublasHandle_t, cudaStream_t stream) {
  stream_of_all = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace(cublasHandle_t, void*, std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

namespace {

struct Sizes {
  cublasOperation_t op_a, op_b;
  int m, n, k, lda, ldb, ldc;
};

template <class T>
void product(const Sizes& s, const void* a, const void* b, bool accumulate, void* c) {
  // Row-major, C^T [n, m] = op(B)^T op(A)^T.
  const tapeloop::MatrixView<T> left{static_cast<const T*>(b), s.op_b == CUBLAS_OP_N ? s.ldb : 1,
                                     s.op_b == CUBLAS_OP_N ? 1 : s.ldb};
  const tapeloop::MatrixView<T> right{static_cast<const T*>(a), s.op_a == CUBLAS_OP_N ? s.lda : 1,
                                      s.op_a == CUBLAS_OP_N ? 1 : s.lda};
  const tapeloop::GemmPiece<T> piece[] = {{left, right, s.k}};
  tapeloop::cpu::kernels().of<T>().gemm(s.n, s.m, {piece, 1}, static_cast<T*>(c), s.ldc,
                                        accumulate);
}

const void* element(const void* first, long long i, std::size_t bytes) {
  return static_cast<const char*>(first) + i * static_cast<long long>(bytes);
}

}  // namespace

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t, cublasOperation_t op_a,
                                          cublasOperation_t op_b, int m, int n, int k,
                                          const void* alpha, const void* a, cudaDataType type,
                                          int lda, long long stride_a, const void* b, cudaDataType,
                                          int ldb, long long stride_b, const void* beta, void* c,
                                          cudaDataType, int ldc, long long stride_c, int batch,
                                          cublasComputeType_t, cublasGemmAlgo_t) {
  const bool single = type == CUDA_R_32F;
  const auto number = [&](const void* x) {
    return single ? static_cast<double>(*static_cast<const float*>(x))
                  : *static_cast<const double*>(x);
  };
  if (number(alpha) != 1 || (number(beta) != 0 && number(beta) != 1) || ldc < m ||
      lda < (op_a == CUBLAS_OP_N ? m : k) || ldb < (op_b == CUBLAS_OP_N ? k : n)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const std::size_t bytes = single ? sizeof(float) : sizeof(double);
  const Sizes sizes{op_a, op_b, m, n, k, lda, ldb, ldc};
  const bool accumulate = number(beta) != 0;
  emulation::enqueue(stream_of_all, [=] {
    const emulation::DeviceAccess access;
    for (int i = 0; i < batch; ++i) {
      const void* ai = element(a, i * stride_a, bytes);
      const void* bi = element(b, i * stride_b, bytes);
      void* ci = const_cast<void*>(element(c, i * stride_c, bytes));
      if (single) {
        product<float>(sizes, ai, bi, accumulate, ci);
      } else {
        product<double>(sizes, ai, bi, accumulate, ci);
      }
    }
    return cudaSuccess;
  });
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                            int m, int n, int k, const void* alpha, const void* a,
                            cudaDataType type_a, int lda, const void* b, cudaDataType type_b,
                            int ldb, const void* beta, void* c, cudaDataType type_c, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
  return cublasGemmStridedBatchedEx(handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, 0, b,
                                    type_b, ldb, 0, beta, c, type_c, ldc, 0, 1, compute, algorithm);
}

// Instead of the library's, which loads cuBLAS.
const tapeloop::cuda::Blas& tapeloop::cuda::blas() {
  static const Blas kBlas = {&cublasCreate,         &cublasDestroy, &cublasSetStream,
                             &cublasSetWorkspace,   &cublasGemmEx,  &cublasGemmStridedBatchedEx,
                             &cublasGetStatusString};
  return kBlas;
}
