// SPDX-License-Identifier: MIT
// The GPU that the library uses: its stream, its cuBLAS, its memory, and the mistakes that kernels
// note. All work goes to one stream, in order. Knows no tensors.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <mutex>

namespace tapeloop::cuda {

// Throws Error if a call of the CUDA runtime or of cuBLAS failed.
void check(cudaError_t status, const char* call);
void check(cublasStatus_t status, const char* call);
#define CUDA_CHECK(call) ::tapeloop::cuda::check(call, #call)

// A mistake that a kernel found. The device writes it; the host reads it at its next wait.
enum class MistakeIn : int {
  nothing,
  take_rows,
  add_rows,
  gather,
  scatter_add,
  targets,
  integers,
  clip
};
struct Mistake {
  MistakeIn in;
  // The index that is out of range, or the number of the first gradient or element that is bad.
  std::int64_t index;
  std::int64_t size;  // the index must be below this
  char name[64];      // clip: the name of that gradient, or its beginning; ends with 0
};
// Where kernels note a mistake. From then on, updates of parameters have no effect until the host
// has thrown it.
struct Notes {
  Mistake* mistake;  // in host memory, mapped
  int* halted;       // on the device, where reading costs little
};

// cuBLAS, loaded when the GPU is set up: CPU programs should not load its half gigabyte.
struct Blas {
  using Gemm = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int m,
                                  int n, int k, const void* alpha, const void* a, cudaDataType,
                                  int lda, const void* b, cudaDataType, int ldb, const void* beta,
                                  void* c, cudaDataType, int ldc, cublasComputeType_t,
                                  cublasGemmAlgo_t);
  using GemmBatched = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t,
                                         int m, int n, int k, const void* alpha, const void* a,
                                         cudaDataType, int lda, long long stride_a, const void* b,
                                         cudaDataType, int ldb, long long stride_b,
                                         const void* beta, void* c, cudaDataType, int ldc,
                                         long long stride_c, int batch, cublasComputeType_t,
                                         cublasGemmAlgo_t);
  decltype(&cublasCreate) create;
  decltype(&cublasDestroy) destroy;
  decltype(&cublasSetStream) set_stream;
  decltype(&cublasSetWorkspace) set_workspace;
  Gemm gemm;  // one product; the batched form of one chooses among fewer kernels
  GemmBatched gemm_batched;
  decltype(&cublasGetStatusString) status;
};
const Blas& blas();  // throws Error if it cannot be loaded

struct Gpu {
  cudaStream_t stream;
  cudaStream_t beside;  // takes memory while `stream` is captured; has no other work
  cudaMemPool_t pool;
  cublasHandle_t blas_handle;
  Notes notes;
};

// Throws Error if there is no GPU, or it is too old. The first call sets everything up.
Gpu& gpu();
// Throws Error if the calling thread's current device is not device 0, the only one in use.
void check_device();

// The lock for all work on the GPU. A thread holds it while it enqueues work, and during the whole
// capture of a step; other threads wait then.
std::recursive_mutex& working();

// Device memory: from the driver's pool, or from the arena of the step that is being captured
// (capture.cuh).
class Arena;
struct Block {
  void* data = nullptr;
  std::size_t bytes = 0;
  Arena* arena = nullptr;
  std::uint64_t captures = 0;  // captures begun before it was taken; later captures may use it
};
// The block is valid for work that is enqueued later. Throws Error if no memory is left.
Block take(std::size_t bytes);
void give_back(const Block& block) noexcept;

// Device memory for the length of a scope.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : block_(bytes == 0 ? Block{} : take(bytes)) {}
  ~Scratch() {
    if (block_.data != nullptr) give_back(block_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(block_.data);
  }

 private:
  Block block_;
};

void upload(void* to, const void* from, std::size_t bytes);
void download(void* to, const void* from, std::size_t bytes);  // waits
void wait();               // waits for all work; throws the mistake that a kernel has noted
std::uint64_t mistakes();  // how many wait() has thrown

}  // namespace tapeloop::cuda
