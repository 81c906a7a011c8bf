// SPDX-License-Identifier: MIT
// Starts kernels; and what all kernels share: shared memory, positions, division. launch() is a
// function, not CUDA's own syntax, so that the same source is also plain C++
// (tests/cuda_emulation).
#pragma once

#include <algorithm>
#include <cstdint>

#include "tapeloop/autograd/device/cuda/gpu.cuh"
#include "tapeloop/autograd/number/number.h"

namespace tapeloop::cuda {

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            const A&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = gpu().stream;
  const std::scoped_lock lock(working());
  check(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...), "cudaLaunchKernelEx");
}

constexpr std::int64_t kWarp = 32;
constexpr std::int64_t kThreads = 256;  // of a block, at most

// One thread for each of `count` items.
struct Grid {
  dim3 blocks, threads;
  explicit Grid(std::int64_t count) {
    const std::int64_t size = std::clamp((count + kWarp - 1) / kWarp * kWarp, kWarp, kThreads);
    blocks.x = static_cast<unsigned>((count + size - 1) / size);
    threads.x = static_cast<unsigned>(size);
  }
};

#if defined(__CUDACC__)
template <class T>
__device__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char tapeloop_shared_memory[];
  return reinterpret_cast<T*>(tapeloop_shared_memory);
}
#else
template <class T>
T* shared_memory() {
  return static_cast<T*>(emulation::shared_memory());
}
#endif

__device__ __forceinline__ std::int64_t thread_number() {
  return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}

struct Divided {
  std::int64_t quotient, rest;
};
// Divides numbers that are not negative. 64-bit division is slow on a GPU and rarely needed.
TL_HD Divided divide(std::int64_t a, std::int64_t b) {
  if (((a | b) >> 32) == 0) {
    const auto x = static_cast<std::uint32_t>(a);
    const auto y = static_cast<std::uint32_t>(b);
    return {static_cast<std::int64_t>(x / y), static_cast<std::int64_t>(x % y)};
  }
  return {a / b, a % b};
}

}  // namespace tapeloop::cuda
