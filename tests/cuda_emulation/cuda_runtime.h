// SPDX-License-Identifier: MIT
// The part of the CUDA runtime that the library uses, for a machine without a GPU. It has the name
// of the toolkit's header, so that the library's .cu files compile as plain C++. It imitates
// results and errors, not speed. Streams run their work at once, in order, or record it during a
// capture.
#pragma once

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct uint3 {
  unsigned x, y, z;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
#if defined(EMULATION_BY_THREADS)  // threads.h
extern thread_local uint3 threadIdx, blockIdx;
#else
extern uint3 threadIdx, blockIdx;
#endif
extern dim3 blockDim, gridDim;

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorCudartUnloading = 4,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100,
  cudaErrorLaunchFailure = 719,
  cudaErrorCooperativeLaunchTooLarge = 720,
  cudaErrorStreamCaptureUnsupported = 900,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaDeviceAttr {
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaLaunchAttributeID { cudaLaunchAttributeCooperative };
struct cudaLaunchAttributeValue {
  int cooperative;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
enum cudaMemPoolAttr { cudaMemPoolAttrReleaseThreshold };
constexpr unsigned cudaStreamNonBlocking = 1;
constexpr unsigned cudaHostAllocDefault = 0;
constexpr unsigned cudaHostAllocMapped = 2;
constexpr unsigned cudaEventDisableTiming = 2;
using cudaStream_t = struct EmulatedStream*;
using cudaMemPool_t = struct EmulatedPool*;
using cudaEvent_t = struct EmulatedEvent*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = struct EmulatedGraph*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed = 2 };

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device);
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t bytes);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaMallocAsync(void** block, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* block, cudaStream_t stream);
cudaError_t cudaHostAlloc(void** block, std::size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* block);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);

cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  const cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);

namespace emulation {
cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& thread);
// Does the work, or records it if the stream captures.
cudaError_t enqueue(cudaStream_t stream, const std::function<cudaError_t()>& work);
void* shared_memory();
void meet_block();
bool meet_block_or(bool own);  // true if any thread passes true
void meet_warp();
std::uint64_t exchange(std::uint64_t value, unsigned lane_from);  // among the lanes of a warp
unsigned lane();
// For blocks that are resident together: flags in global memory, by which blocks wait for each
// other. A load that finds too small a value lets other threads run.
void store_release(unsigned* flag, unsigned value);
unsigned load_relaxed(const unsigned* flag);
void acquire_loaded();  // a fence: acquires what the loaded values released
// Copies that happen only when a thread waits for them.
void copy_async(void* to, const void* from, std::size_t bytes);
void end_batch();
void wait_for_batches(std::size_t left);
}  // namespace emulation

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... a) {
  const std::tuple<P...> arguments(static_cast<P>(a)...);
  const std::vector<cudaLaunchAttribute> attributes(config->attrs,
                                                    config->attrs + config->numAttrs);
  return emulation::enqueue(config->stream, [launch = *config, attributes, kernel, arguments] {
    cudaLaunchConfig_t own = launch;  // the caller's list is gone when a graph runs
    own.attrs = attributes.data();
    return emulation::run(own, [&] { std::apply(kernel, arguments); });
  });
}

inline void __syncthreads() { emulation::meet_block(); }
inline int __syncthreads_or(int own) { return emulation::meet_block_or(own != 0) ? 1 : 0; }
inline void __syncwarp() { emulation::meet_warp(); }
inline int __any_sync(unsigned, int own) {
  std::uint64_t any = own != 0 ? 1 : 0;
  for (unsigned distance = 16; distance > 0; distance /= 2) {
    any |= emulation::exchange(any, emulation::lane() ^ distance);
  }
  return any != 0 ? 1 : 0;
}

template <class T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const unsigned from = emulation::lane() + delta;
  bits = emulation::exchange(bits, from < 32 ? from : emulation::lane());
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <class T>
T __ldcg(const T* from) {  // through L2
  return *from;
}

// Of the host's clock: it says nothing about a GPU.
inline long long clock64() { return std::chrono::steady_clock::now().time_since_epoch().count(); }
