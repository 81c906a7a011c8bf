// SPDX-License-Identifier: MIT
// What blocks that are all resident at once do together: wait for each other's flags, write into each other's shared memory as
// a cluster, copy into their own while they calculate. Starts such kernels; knows nothing of what they are for.
#pragma once

#include "autograd/cuda/launch.cuh"

namespace tapeloop::cuda {

#if defined(__CUDACC__)
// What a thread wrote before publish() is seen by a thread that returns from wait_until(): through L2, on the whole GPU.
__device__ __forceinline__ void publish(unsigned* flag, unsigned value) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}
__device__ __forceinline__ void wait_until(const unsigned* flag, unsigned at_least) {
  unsigned found;
  do {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(found) : "l"(flag) : "memory");
  } while (found < at_least);
}

// Copies of 4, 8 or 16 bytes from global to shared memory, in batches: a thread's oldest are done first. Those of 16 bytes
// read from L2, where other blocks' writes are.
template <int kBytes>
__device__ __forceinline__ void copy_async(void* to, const void* from) {
  const auto place = static_cast<unsigned>(__cvta_generic_to_shared(to));
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(place), "l"(from) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(place), "l"(from), "n"(kBytes)
                 : "memory");
  }
}
__device__ __forceinline__ void end_batch() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kLeft>  // batches that may still be under way
__device__ __forceinline__ void wait_for_batches() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// Clusters; never called where the architecture has none.
__device__ __forceinline__ void meet_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "barrier.cluster.arrive.release;\n"
      "barrier.cluster.wait.acquire;" ::
          : "memory");
#endif
}
template <class T>  // the same place in the shared memory of another block of the cluster
__device__ __forceinline__ T* in_block(T* shared, unsigned rank) {
#if __CUDA_ARCH__ >= 900
  T* result;
  asm("mapa.u64 %0, %1, %2;" : "=l"(result) : "l"(shared), "r"(rank));
  return result;
#else
  return shared;
#endif
}
#else
inline void publish(unsigned* flag, unsigned value) { *flag = value; }
inline void wait_until(const unsigned* flag, unsigned at_least) {
  while (*flag < at_least) emulation::pause();
}
template <int kBytes>
void copy_async(void* to, const void* from) {
  emulation::copy_async(to, from, kBytes);
}
inline void end_batch() { emulation::end_batch(); }
template <int kLeft>
void wait_for_batches() {
  emulation::wait_for_batches(kLeft);
}
inline void meet_cluster() { emulation::meet_cluster(); }
template <class T>
T* in_block(T* shared, unsigned rank) {
  return static_cast<T*>(emulation::in_block(shared, rank));
}
#endif

// So much dynamic shared memory, and never less again. Under working().
void allow_shared_memory(const void* kernel, std::size_t bytes);

// Starts a kernel whose blocks wait for each other: all of the grid (cluster 0) or `cluster` of them side by side. More shared
// memory than 48 KB is asked for here. Throws Error where they cannot all be resident.
template <class... P, class... A>
void launch_resident(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
                     unsigned cluster, const A&... arguments) {
  cudaLaunchAttribute attribute{};
  if (cluster == 0) {
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
  } else {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = cluster;
    attribute.val.clusterDim.y = 1;
    attribute.val.clusterDim.z = 1;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = gpu().stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  const std::scoped_lock lock(working());
  allow_shared_memory(reinterpret_cast<const void*>(kernel), shared_bytes);
  CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...));
}

}  // namespace tapeloop::cuda
