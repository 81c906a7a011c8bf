// SPDX-License-Identifier: MIT
// Shared by the files of gpu_micro: checked calls of the runtime, memory, and a kernel that is run
// and gives its cycles. Measures nothing.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdio>

namespace bench {

constexpr unsigned kBlockThreads = 256;

struct Failed {};  // thrown after a message

inline void need(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  std::printf("gpu_micro: %s failed: %s\n", call, cudaGetErrorString(status));
  throw Failed{};
}

// Device memory, set to 0.
class Memory {
 public:
  explicit Memory(std::size_t bytes) : bytes_(bytes) {
    need(cudaMallocAsync(&data_, bytes, nullptr), "cudaMallocAsync");
    clear();
  }
  ~Memory() { cudaFreeAsync(data_, nullptr); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void clear() { need(cudaMemsetAsync(data_, 0, bytes_, nullptr), "cudaMemsetAsync"); }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

// Starts the kernel, waits for it, and returns the cycles that it wrote.
template <class... P, class... A>
double cycles_of(const Memory& cycles, const cudaLaunchConfig_t& config, void (*kernel)(P...),
                 const A&... arguments) {
  long long result = 0;
  need(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...), "cudaLaunchKernelEx");
  need(cudaMemcpyAsync(&result, cycles.as<void>(), sizeof result, cudaMemcpyDeviceToHost, nullptr),
       "cudaMemcpyAsync");
  need(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
  return static_cast<double>(result);
}

// Prints the cycles of a barrier of 8 blocks that are a cluster, without stores before it and with.
// Prints nothing if the GPU has no clusters.
void print_cluster_barriers(int multiprocessors, int steps);

}  // namespace bench
