// SPDX-License-Identifier: MIT
// Counting operator new, in every form. It adds one atomic increment to each call and changes
// nothing else. It replaces every form, so that none of a sanitizer's own forms is mixed with
// these.
#include "tests/allocations.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/autograd/tensor/tensor.h"

static std::atomic<std::int64_t> calls{0};
// Only allocations of at least this size count in `until_failure`.
static std::atomic<std::size_t> failing_bytes{SIZE_MAX};
static std::atomic<std::int64_t> until_failure{0};

static bool fails(std::size_t bytes) {
  return bytes >= failing_bytes.load(std::memory_order_relaxed) && until_failure.fetch_sub(1) <= 1;
}

namespace tapeloop::test {

std::int64_t allocations() { return calls.load(std::memory_order_relaxed); }

void fail_allocations(std::int64_t n, std::size_t bytes) {
  until_failure = n;
  failing_bytes = n == 0 ? SIZE_MAX : bytes;
}

bool can_count_allocations() {
  { const Tensor warm = Tensor::empty({777}); }
  const std::int64_t before = memory::stats().heap_calls;
  { const Tensor again = Tensor::empty({777}); }
  const bool kept = memory::stats().heap_calls == before;
  if (!kept) std::printf("SKIPPED: the address sanitizer turns the memory pool off\n");
  return kept;
}

}  // namespace tapeloop::test

void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  calls.fetch_add(1, std::memory_order_relaxed);
  if (fails(bytes)) return nullptr;
  return std::malloc(bytes != 0 ? bytes : 1);
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  calls.fetch_add(1, std::memory_order_relaxed);
  auto align = static_cast<std::size_t>(alignment);
  if (fails(bytes) || bytes > SIZE_MAX - align) return nullptr;
  return std::aligned_alloc(align, (bytes + align - 1) / align * align);
}
void* operator new(std::size_t bytes) {
  if (void* memory = operator new(bytes, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  if (void* memory = operator new(bytes, alignment, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
