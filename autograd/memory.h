// SPDX-License-Identifier: MIT
// Memory for tensors and tape records: blocks are kept after use and handed out again, so that a training step
// in its steady state never reaches the heap. Not for general use: blocks are rounded up to size classes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tapeloop::memory {

// A block of at least `bytes`, aligned to 64. Each thread keeps its own free blocks; a block may be released
// by another thread than the one that took it. Throws Error when the system has no memory left.
void* allocate(std::size_t bytes);
void release(void* block, std::size_t bytes) noexcept;  // `bytes` as asked for
std::size_t block_bytes(std::size_t bytes);  // the size of the block that allocate(bytes) gives

struct Stats {
  std::int64_t live_bytes;    // handed out and not yet released
  std::int64_t peak_bytes;    // the largest live_bytes since reset_peak()
  std::int64_t cached_bytes;  // kept by this thread for reuse
  std::int64_t heap_calls;    // times a block had to come from the heap
};
Stats stats();  // of the calling thread
// Memory of another device, taken (> 0) or given back: counted in live_bytes and peaks as this thread's.
void count_elsewhere(std::int64_t bytes);
void reset_peak();
// The most that this thread took while the meter lives, beyond what was in use at its beginning. Meters may nest, and
// leave stats().peak_bytes as it would be without them.
class PeakMeter {
 public:
  PeakMeter();
  ~PeakMeter();
  PeakMeter(const PeakMeter&) = delete;
  PeakMeter& operator=(const PeakMeter&) = delete;
  std::int64_t bytes() const;

 private:
  std::int64_t start_, peak_before_;
};
void release_cached();  // gives this thread's kept blocks back to the heap

// For std::vector: scratch lists inside a training step.
template <class T>
struct Allocator {
  using value_type = T;
  Allocator() = default;
  template <class U>
  Allocator(const Allocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(memory::allocate(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) { memory::release(p, n * sizeof(T)); }
  bool operator==(const Allocator&) const { return true; }
};

}  // namespace tapeloop::memory

namespace tapeloop {
template <class T>
using PoolVector = std::vector<T, memory::Allocator<T>>;
}  // namespace tapeloop
