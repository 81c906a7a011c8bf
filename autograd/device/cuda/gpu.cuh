// SPDX-License-Identifier: MIT
// The one GPU that is used: its stream, its cuBLAS, its memory, and the mistakes that kernels note down.
// All work goes to one stream, in order. Knows no tensors.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <mutex>

namespace tapeloop::cuda {

// Throws Error where a call of the CUDA runtime or of cuBLAS failed.
void check(cudaError_t status, const char* call);
void check(cublasStatus_t status, const char* call);
#define CUDA_CHECK(call) ::tapeloop::cuda::check(call, #call)

// A mistake that a kernel found: written by the device, read by the host when it waits next.
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
  const void* names;  // clip: the names of the gradients, a std::vector<std::string>
};
// Where kernels note it. From then on nothing that updates parameters does anything, until the host has been told.
struct Notes {
  Mistake* mistake;  // in the host's memory, mapped
  int* halted;       // on the device, where reading costs little
};

// cuBLAS, loaded when the GPU is set up: half a gigabyte that programs on the CPU should not carry.
struct Blas {
  using Gemm = cublasStatus_t (*)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int m,
                                  int n, int k, const void* alpha, const void* a, cudaDataType,
                                  int lda, long long stride_a, const void* b, cudaDataType, int ldb,
                                  long long stride_b, const void* beta, void* c, cudaDataType,
                                  int ldc, long long stride_c, int batch, cublasComputeType_t,
                                  cublasGemmAlgo_t);
  decltype(&cublasCreate) create;
  decltype(&cublasDestroy) destroy;
  decltype(&cublasSetStream) set_stream;
  decltype(&cublasSetWorkspace) set_workspace;
  Gemm gemm;
  decltype(&cublasGetStatusString) status;
};
const Blas& blas();  // throws Error where it cannot be loaded

struct Gpu {
  cudaStream_t stream;
  cudaStream_t beside;  // takes memory while `stream` is captured; does nothing else
  cudaMemPool_t pool;
  cublasHandle_t blas_handle;
  Notes notes;
};

// Throws Error where there is no GPU, or too old a one. The first call sets everything up.
Gpu& gpu();

// Held by whoever enqueues work, for as long as a step is captured by its thread: what other threads enqueue then waits.
std::recursive_mutex& working();

// Device memory: from the driver's pool, or from that of the step that is being captured (capture.cuh).
class Arena;
struct Block {
  void* data = nullptr;
  std::size_t bytes = 0;
  Arena* arena = nullptr;
  std::uint64_t captures = 0;  // begun before it was taken: later ones may use it
};
// Valid for work that is enqueued after. Throws Error when there is none left.
Block take(std::size_t bytes);
void give_back(const Block& block) noexcept;
void trim_pool();  // gives the driver what the pool keeps and nobody uses; after a call that found no memory

// What a call of the runtime gives, the second time where the first found no memory: kernels, for one, are loaded at their first
// use, when the pool may have everything.
template <class Call>
cudaError_t with_room(Call call) {
  const cudaError_t status = call();
  if (status != cudaErrorMemoryAllocation) return status;
  trim_pool();
  return call();
}

// The same, with zeros in it from now on, whether or not a step is captured; outlives that.
Block take_zeros(std::size_t bytes);

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
void wait();  // for all work; throws what kernels have noted
void read_updates_made();  // waits, and tells everyone who counts updates how far the device came (updates_made.cu)

}  // namespace tapeloop::cuda
