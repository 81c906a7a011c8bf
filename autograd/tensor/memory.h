// SPDX-License-Identifier: MIT
// Memory for tensors and tape entries. Each thread keeps released blocks and uses them again, so
// that a training step in its steady state allocates nothing from the heap. Not for general use:
// block sizes are rounded up to size classes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tapeloop::memory {

// Counts the memory that one thread took, whichever thread releases it. Lives until the thread has
// ended and its last block is released.
struct Account;

// A block of at least `bytes` bytes, aligned to 64. Each thread keeps its own free blocks; any
// thread may release a block. Throws Error if the system has no memory left.
void* allocate(std::size_t bytes);
void release(void* block, std::size_t bytes) noexcept;  // the same `bytes` as in allocate()
// The same for a caller that stores `account` itself. The block then needs no 8 bytes for it.
void* allocate(std::size_t bytes, Account*& account);
void release(void* block, std::size_t bytes, Account* account) noexcept;  // such a block
// The size of the block that allocate(bytes, account) gives.
std::size_t block_bytes(std::size_t bytes);

// Counts of the calling thread. A block counts as live in the thread that took it until any thread
// releases it. The releasing thread keeps the block for its own next use. So live_bytes is never
// negative, and the sum over all threads is the memory in use.
struct Stats {
  std::int64_t live_bytes;    // taken by this thread and not yet released
  std::int64_t peak_bytes;    // the largest live_bytes since reset_peak()
  std::int64_t cached_bytes;  // kept by this thread for reuse
  std::int64_t heap_calls;    // number of blocks that came from the heap
};
// The counts now.
Stats stats();
// Counts memory of another device in live_bytes and peaks of this thread, until release_elsewhere()
// is called with `account`.
void take_elsewhere(std::int64_t bytes, Account*& account);
void release_elsewhere(std::int64_t bytes, Account* account) noexcept;
void reset_peak();  // sets peak_bytes to live_bytes
// Measures the peak of this thread's memory while the meter lives, minus the memory in use at its
// beginning. Meters may nest. After the last one, stats().peak_bytes is the same as without them.
class PeakMeter {
 public:
  PeakMeter();
  ~PeakMeter();
  PeakMeter(const PeakMeter&) = delete;
  PeakMeter& operator=(const PeakMeter&) = delete;
  std::int64_t bytes() const;  // the peak so far

 private:
  std::int64_t start_, peak_before_;
};
// Frees the memory that this thread keeps for later: free blocks, and the memory of ended tapes
// (see Tape).
void release_cached();
// Sets the one function that release_cached() calls first. The end of a thread that has used the
// pool calls it too, with thread_ends = true. The calling thread counts as one that has.
void also_release(void (*release_more)(bool thread_ends));

inline constexpr int kScratchSlots = 3;  // of scratch()
// Scratch memory of the calling thread for kernels, aligned to 64 bytes, with undefined contents.
// Valid until the thread's next call with the same slot. It only grows, and is freed when the
// thread ends. stats() does not count it.
void* scratch(int slot, std::size_t bytes);

// An allocator for std::vector, for scratch lists inside a training step.
template <class T>
struct Allocator {
  // --- what std::vector asks for ---
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
// A vector whose memory comes from the thread's blocks.
template <class T>
using PoolVector = std::vector<T, memory::Allocator<T>>;
}  // namespace tapeloop
