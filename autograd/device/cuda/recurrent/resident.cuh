// SPDX-License-Identifier: MIT
// Tools for blocks that are all resident at once: waiting for flags, writing into each other's
// shared memory as a cluster, copying to shared memory while calculating. Starts such kernels; does
// not know their purpose.
#pragma once

#include "tapeloop/autograd/device/cuda/launch.cuh"

namespace tapeloop::cuda {

#if defined(__CUDACC__)
__device__ __forceinline__ void store_release(unsigned* flag, unsigned value) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}
__device__ __forceinline__ unsigned load_relaxed(const unsigned* flag) {
  unsigned found;
  asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(found) : "l"(flag) : "memory");
  return found;
}
__device__ __forceinline__ void acquire_loaded() {
  asm volatile("fence.acq_rel.gpu;" ::: "memory");
}

// Copies 4, 8 or 16 bytes from global to shared memory, in batches; a thread's oldest batch is done
// first. Copies of 16 bytes read from L2, where the writes of other blocks are.
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
// Waits until at most kLeft batches are under way.
template <int kLeft>
__device__ __forceinline__ void wait_for_batches() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// Clusters. Not called if the architecture has none.
__device__ __forceinline__ void meet_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "barrier.cluster.arrive.release;\n"
      "barrier.cluster.wait.acquire;" ::
          : "memory");
#endif
}
// The same place in the shared memory of another block of the cluster.
template <class T>
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
inline void store_release(unsigned* flag, unsigned value) { emulation::store_release(flag, value); }
inline unsigned load_relaxed(const unsigned* flag) { return emulation::load_relaxed(flag); }
inline void acquire_loaded() { emulation::acquire_loaded(); }
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

// A thread that returns from wait_until() sees everything that the other thread wrote before
// publish(): through L2, on the whole GPU.
__device__ __forceinline__ void publish(unsigned* flag, unsigned value) {
  store_release(flag, value);
}
__device__ __forceinline__ void wait_until(const unsigned* flag, unsigned at_least) {
  // The loop uses relaxed loads, and one fence after the loop acquires the published values. An
  // acquiring load would empty the L1 cache in every iteration.
  while (load_relaxed(flag) < at_least) {
  }
  acquire_loaded();
}

// Lets the kernel use this much dynamic shared memory. Never lowers the limit. Call it under
// working().
void allow_shared_memory(const void* kernel, std::size_t bytes);

// A grid whose blocks wait for each other: all blocks (cluster 0), or each `cluster` adjacent
// blocks.
struct ResidentGrid {
  dim3 grid, block;
  std::size_t shared_bytes;
  unsigned cluster;
};
// Fills in `attribute`; the result is valid as long as `attribute` lives.
cudaLaunchConfig_t config_of(const ResidentGrid& grid, cudaLaunchAttribute& attribute);

// Returns whether all blocks that wait for each other fit on the GPU at once, as the runtime
// reports for the kernel.
bool has_room(const void* kernel, const ResidentGrid& grid);

// Starts such a kernel. Allows more than 48 KB of shared memory if needed. Throws Error if there is
// no room.
template <class... P, class... A>
void launch_resident(void (*kernel)(P...), const ResidentGrid& grid, const A&... arguments) {
  cudaLaunchAttribute attribute{};
  const cudaLaunchConfig_t config = config_of(grid, attribute);
  const std::scoped_lock lock(working());
  allow_shared_memory(reinterpret_cast<const void*>(kernel), grid.shared_bytes);
  check(
      with_room([&] { return cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...); }),
      "cudaLaunchKernelEx");
}

}  // namespace tapeloop::cuda
