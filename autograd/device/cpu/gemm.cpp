// SPDX-License-Identifier: MIT
// The buffers into which a thread packs matrices. Compiled once for all instruction sets. The
// product itself is in gemm_kernel.h.
#include "tapeloop/autograd/device/cpu/gemm.h"

#include <new>

namespace tapeloop {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kSlots = 3;

struct Buffer {
  void* memory = nullptr;
  std::size_t bytes = 0;

  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { release(); }

  void release() {
    ::operator delete (memory, std::align_val_t{kAlignment});
    memory = nullptr;
    bytes = 0;
  }

  void* at_least(std::size_t wanted) {
    if (wanted > bytes) {
      release();
      memory = ::operator new (wanted, std::align_val_t{kAlignment});
      bytes = wanted;
    }
    return memory;
  }
};

}  // namespace

void* gemm_buffer(GemmBuffer slot, std::size_t bytes) {
  static thread_local Buffer buffers[kSlots];
  return buffers[static_cast<std::size_t>(slot)].at_least(bytes);
}

}  // namespace tapeloop
