// SPDX-License-Identifier: MIT
// The part of gpu_micro that needs clusters of blocks: compute capability 9.0 or above.
#include "bench/gpu/micro.cuh"

namespace {

constexpr unsigned kClusterBlocks = 8;

// Before each barrier, every thread may store a number to global memory.
__global__ void __launch_bounds__(bench::kBlockThreads, 1)
    cluster_kernel(bool stores, int steps, float* numbers, long long* cycles) {
  const long long start = clock64();
  for (int t = 0; t < steps; ++t) {
    if (stores) numbers[blockIdx.x * bench::kBlockThreads + threadIdx.x] = static_cast<float>(t);
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "barrier.cluster.arrive.release;\n"
        "barrier.cluster.wait.acquire;" ::
            : "memory");
#endif
  }
  if (threadIdx.x == 0 && blockIdx.x == 0) *cycles = clock64() - start;
}

}  // namespace

void bench::print_cluster_barriers(int multiprocessors, int steps) {
  int major = 0;
  need(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0),
       "cudaDeviceGetAttribute");
  if (major < 9) return;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = kClusterBlocks;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim.x = static_cast<unsigned>(multiprocessors) / kClusterBlocks * kClusterBlocks;
  config.blockDim.x = kBlockThreads;
  config.attrs = &attribute;
  config.numAttrs = 1;
  const Memory cycles(sizeof(long long));
  const Memory numbers(std::size_t{config.gridDim.x} * kBlockThreads * sizeof(float));
  for (const bool stores : {false, true}) {
    double found = 0;
    for (int run = 0; run < 2; ++run) {  // the first run also loads the kernel
      found = cycles_of(cycles, config, cluster_kernel, stores, steps, numbers.as<float>(),
                        cycles.as<long long>());
    }
    std::printf("barrier of a cluster of 8 blocks, %s: %.0f cycles\n",
                stores ? "each thread stores a number before it" : "no stores before it",
                found / steps);
  }
}
