// SPDX-License-Identifier: MIT
// Tools for blocks that are all resident at once: waiting for flags, copying to shared memory while
// calculating. Starts such kernels; does not know their purpose.
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

// Copies 4 or 16 bytes from global to shared memory, in batches; a thread's oldest batch is done
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
#endif

// A thread that returns from wait_until() sees everything that the other threads wrote before they
// called publish(): through L2, on the whole GPU. Lane `lane` of a warp waits for every 32nd flag;
// after a barrier of the block its other threads see those writes too.
__device__ __forceinline__ void publish(unsigned* flag, unsigned value) {
  store_release(flag, value);
}
__device__ __forceinline__ void wait_until(const unsigned* flags, int count, unsigned at_least,
                                           int lane) {
  // The loop uses relaxed loads, and one fence after the loop acquires the published values. An
  // acquiring load would empty the L1 cache in every iteration.
  for (int i = lane; i < count; i += 32) {
    while (load_relaxed(flags + i) < at_least) {
    }
  }
  acquire_loaded();
}

// Lets the kernel use as much dynamic shared memory as a block may have. Call it once for a kernel.
void allow_shared_memory(const void* kernel);

// Starts a kernel whose blocks wait for each other. Returns false if the GPU has no room for all of
// them at once.
template <auto kernel, class... A>
bool launch_resident(dim3 grid, dim3 block, std::size_t shared_bytes, const A&... arguments) {
  const std::scoped_lock lock(working());
  [[maybe_unused]] static const bool kAllowed =
      (allow_shared_memory(reinterpret_cast<const void*>(kernel)), true);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = gpu().stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  const cudaError_t status = cudaLaunchKernelEx(&config, kernel, arguments...);
  if (status == cudaErrorCooperativeLaunchTooLarge) {
    cudaGetLastError();
    return false;
  }
  check(status, "cudaLaunchKernelEx");
  return true;
}

}  // namespace tapeloop::cuda
