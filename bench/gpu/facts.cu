// SPDX-License-Identifier: MIT
// Asks the CUDA runtime about the GPU. Launches nothing on it.
#include "bench/gpu/facts.h"

#include <cuda_runtime.h>

namespace bench {
namespace {

std::string version(int number) {  // 13000 is 13.0
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

}  // namespace

std::optional<GpuFacts> gpu_facts() {
  int count = 0, driver = 0, runtime = 0;
  cudaDeviceProp properties{};
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0 ||
      cudaGetDeviceProperties(&properties, 0) != cudaSuccess ||
      cudaDriverGetVersion(&driver) != cudaSuccess ||
      cudaRuntimeGetVersion(&runtime) != cudaSuccess) {
    cudaGetLastError();
    return std::nullopt;
  }
  return GpuFacts{properties.name,
                  std::to_string(properties.major) + "." + std::to_string(properties.minor),
                  version(driver),
                  version(runtime),
                  properties.multiProcessorCount,
                  static_cast<double>(properties.totalGlobalMem) / (1024.0 * 1024 * 1024),
                  false};
}

}  // namespace bench
