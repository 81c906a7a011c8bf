// SPDX-License-Identifier: MIT
// One region of addresses is the emulated GPU's memory. Each block lies between guard bytes, and is
// filled with NaNs when it is allocated and when it is freed. An access from the host ends the
// program, as with a GPU.
#include "device_memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "cuda_runtime.h"
#include "emulation.h"

namespace emulation {
namespace {

constexpr std::size_t kTotal = std::size_t{512} << 20;
constexpr std::size_t kGuard = 256;
constexpr unsigned char kGuardByte = 0xA5;
constexpr int kPoison = 0xFF;  // NaN as float and as double, -1 as an integer

struct Memory {
  std::recursive_mutex mutex;
  unsigned char* start = static_cast<unsigned char*>(
      mmap(nullptr, kTotal, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  std::size_t reached = 0;  // the highest address ever used, from the start
  int depth = 0;
  int damaged = 0;
  std::int64_t taken = 0;
  std::int64_t waited = 0;
  int good_waits = 0, refused_waits = 0;
  std::size_t in_use = 0;
  std::size_t limit = kTotal;
  std::int64_t host_blocks = 0;
  bool unloaded = false;
  std::map<std::size_t, std::size_t> free = {{0, kTotal}};  // place and size
  std::map<std::size_t, std::size_t> used;                  // place and requested bytes

  void protect(int how) {
    if (reached > 0) mprotect(start, reached, how);
  }
};
Memory& memory() {
  static Memory& kMemory = *new Memory;
  return kMemory;
}

// Fills a block with NaNs; a large block only at its ends, because untouched pages cost nothing
// when the access changes.
void poison(unsigned char* block, std::size_t bytes) {
  constexpr std::size_t kLarge = std::size_t{1} << 20, kEnd = std::size_t{64} << 10;
  if (bytes < kLarge) {
    std::memset(block, kPoison, bytes);
  } else {
    std::memset(block, kPoison, kEnd);
    std::memset(block + bytes - kEnd, kPoison, kEnd);
  }
}

std::size_t whole(std::size_t bytes) { return (bytes + 255) / 256 * 256 + 2 * kGuard; }

}  // namespace

DeviceAccess::DeviceAccess() {
  memory().mutex.lock();
  if (memory().depth++ == 0) memory().protect(PROT_READ | PROT_WRITE);
}
DeviceAccess::~DeviceAccess() {
  if (--memory().depth == 0) memory().protect(PROT_NONE);
  memory().mutex.unlock();
}

int damaged_blocks() { return memory().damaged; }
std::int64_t allocations() { return memory().taken; }
std::int64_t waits() { return memory().waited; }
void refuse_waits(int after, int count) {
  memory().good_waits = after;
  memory().refused_waits = count;
}
std::size_t bytes_reached() { return memory().reached; }
void limit_bytes(std::size_t limit) { memory().limit = limit; }
std::size_t bytes_in_use() { return memory().in_use; }
void unload(bool gone) { memory().unloaded = gone; }
std::int64_t objects() { return memory().host_blocks + streams() + graphs(); }

}  // namespace emulation

using namespace emulation;

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorCudartUnloading: return "driver shutting down";
    case cudaErrorCooperativeLaunchTooLarge: return "too many blocks in cooperative launch";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    default: return "invalid argument";
  }
}
cudaError_t cudaGetLastError() { return cudaSuccess; }

// By these variables tests simulate a machine without a GPU, or with an old one.
cudaError_t cudaGetDeviceCount(int* count) {
  const bool none = std::getenv("EMULATED_GPU_NONE") != nullptr;
  *count = none ? 0 : 1;
  return none ? cudaErrorNoDevice : cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const bool old = std::getenv("EMULATED_GPU_OLD") != nullptr;
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = old ? 7 : 9; break;
    case cudaDevAttrMultiProcessorCount: *value = kMultiprocessors; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = kSharedBytes; break;
    default: *value = 0;
  }
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (captures(stream)) return cudaErrorStreamCaptureUnsupported;
  Memory& m = memory();
  ++m.waited;
  if (m.refused_waits == 0) return cudaSuccess;
  if (m.good_waits > 0) {
    --m.good_waits;
    return cudaSuccess;
  }
  --m.refused_waits;
  return cudaErrorLaunchFailure;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = nullptr;
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t) { return cudaSuccess; }

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const Memory& m = memory();
  *free = m.limit > m.in_use ? m.limit - m.in_use : 0;
  *total = kTotal;
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** block, std::size_t bytes, cudaStream_t stream) {
  if (captures(stream)) return cudaErrorStreamCaptureUnsupported;
  Memory& m = memory();
  const std::scoped_lock lock(m.mutex);
  if (bytes > kTotal) return cudaErrorMemoryAllocation;
  const std::size_t size = whole(bytes);
  if (m.in_use + size > m.limit) return cudaErrorMemoryAllocation;
  for (auto place = m.free.begin(); place != m.free.end(); ++place) {
    if (place->second < size) continue;
    const auto [at, length] = *place;
    m.free.erase(place);
    if (length > size) m.free[at + size] = length - size;
    if (at + size > m.reached) m.reached = (at + size + 4095) / 4096 * 4096;
    const DeviceAccess access;
    std::memset(m.start + at, kGuardByte, kGuard);
    std::memset(m.start + at + kGuard + bytes, kGuardByte, size - kGuard - bytes);
    poison(m.start + at + kGuard, bytes);
    m.used[at] = bytes;
    m.in_use += size;
    ++m.taken;
    *block = m.start + at + kGuard;
    return cudaSuccess;
  }
  return cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeAsync(void* block, cudaStream_t stream) {
  if (captures(stream)) return cudaErrorStreamCaptureUnsupported;
  Memory& m = memory();
  if (m.unloaded) return cudaErrorCudartUnloading;
  const DeviceAccess access;
  std::size_t at = static_cast<std::size_t>(static_cast<unsigned char*>(block) - m.start) - kGuard;
  const auto found = m.used.find(at);
  if (found == m.used.end()) return cudaErrorInvalidValue;
  const std::size_t bytes = found->second;
  std::size_t size = whole(bytes);
  bool damaged = false;
  for (std::size_t i = 0; i < size; ++i) {
    if (i == kGuard) i += bytes;
    damaged = damaged || m.start[at + i] != kGuardByte;
  }
  if (damaged) ++m.damaged;
  poison(m.start + at + kGuard, bytes);
  m.used.erase(found);
  m.in_use -= size;
  auto next = m.free.lower_bound(at);
  if (next != m.free.end() && next->first == at + size) {
    size += next->second;
    next = m.free.erase(next);
  }
  if (next != m.free.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == at) {
      at = before->first;
      size += before->second;
    }
  }
  m.free[at] = size;
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** block, std::size_t bytes, unsigned) {
  *block = std::calloc(1, bytes);
  if (*block == nullptr) return cudaErrorMemoryAllocation;
  ++memory().host_blocks;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* block) {
  --memory().host_blocks;
  std::free(block);
  return cudaSuccess;
}

// Refuses copies between host and device during a capture: a graph would read the host's memory at
// each run, which is never intended.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (captures(stream) && kind != cudaMemcpyDeviceToDevice)
    return cudaErrorStreamCaptureUnsupported;
  return enqueue(stream, [to, from, bytes] {
    const DeviceAccess access;
    std::memcpy(to, from, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return enqueue(stream, [to, value, bytes] {
    const DeviceAccess access;
    std::memset(to, value, bytes);
    return cudaSuccess;
  });
}
