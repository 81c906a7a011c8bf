// SPDX-License-Identifier: MIT
// Memory for tensors and tape records: blocks are kept after use and handed out again, so that a training step
// in its steady state never reaches the heap. Not for general use: blocks are rounded up to size classes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tapeloop::memory {

// What a thread took, whoever gives it back; lives as long as the thread or its last block.
struct Account;

// A block of at least `bytes`, aligned to 64. Each thread keeps its own free blocks; a block may be released
// by another thread than the one that took it. Throws Error when the system has no memory left.
void* allocate(std::size_t bytes);
void release(void* block, std::size_t bytes) noexcept;  // `bytes` as asked for
// The same for a caller that has room for the block's account: it saves the 8 bytes behind the block where that is kept.
void* allocate(std::size_t bytes, Account*& account);
void release(void* block, std::size_t bytes, Account* account) noexcept;
// The size of the block that allocate(bytes, account) gives.
std::size_t block_bytes(std::size_t bytes);

// Of the calling thread. A block counts as live in the thread that took it until any thread releases it, which then keeps
// it for its own next use: so live_bytes is never negative, and the sum over all threads is what is in use.
struct Stats {
  std::int64_t live_bytes;    // taken by this thread and not yet released
  std::int64_t peak_bytes;    // the largest live_bytes since reset_peak()
  std::int64_t cached_bytes;  // kept by this thread for reuse
  std::int64_t heap_calls;    // times a block had to come from the heap
};
Stats stats();
// Memory of another device: counted in live_bytes and peaks as this thread's, until `account` is given it back.
void take_elsewhere(std::int64_t bytes, Account*& account);
void release_elsewhere(std::int64_t bytes, Account* account) noexcept;
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
// Gives back to the heap what this thread keeps for later: free blocks, and the memory of ended tapes (see Tape).
void release_cached();
// `release_more` is called at the beginning of every release_cached(); there is one such function.
void also_release(void (*release_more)());

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
