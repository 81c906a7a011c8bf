// SPDX-License-Identifier: MIT
// The thread sanitizer finds a write and a read of two threads that no barrier, or release and
// acquire, orders, in global and in shared memory. It cannot find a fence of too small a scope,
// caches without coherence, a deadlock of blocks that are not resident, orders of events that did
// not occur, or a writer that is one step ahead: the load behind a fence may read a later value
// than the load of the flag.
#include "threads.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>

thread_local uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {
namespace {

constexpr unsigned kWarp = 32;

// All of `count` threads meet here again and again. Each then sees what the others did before.
class Barrier {
 public:
  explicit Barrier(unsigned count) : count_(count) {}
  void meet() {
    std::unique_lock lock(mutex_);
    const unsigned turn = turn_;
    if (++arrived_ == count_) {
      arrived_ = 0;
      ++turn_;
      all_here_.notify_all();
    } else {
      all_here_.wait(lock, [&] { return turn_ != turn; });
    }
  }
  // The threads wait for each other, but without memory order.
  void meet_without_order() {
    const unsigned turn = loose_turn_.load(std::memory_order_relaxed);
    if (loose_arrived_.fetch_add(1, std::memory_order_relaxed) + 1 == count_) {
      loose_arrived_.store(0, std::memory_order_relaxed);
      loose_turn_.store(turn + 1, std::memory_order_relaxed);
      futex(FUTEX_WAKE_PRIVATE, INT_MAX);
    }
    while (loose_turn_.load(std::memory_order_relaxed) == turn) futex(FUTEX_WAIT_PRIVATE, turn);
  }

 private:
  // The system call itself: it orders nothing that the thread sanitizer knows of.
  void futex(int operation, unsigned value) {
    ::syscall(SYS_futex, &loose_turn_, operation, value, nullptr, nullptr, 0);
  }

  const unsigned count_;
  unsigned arrived_ = 0, turn_ = 0;
  std::mutex mutex_;
  std::condition_variable all_here_;
  std::atomic<unsigned> loose_arrived_{0}, loose_turn_{0};
};

struct Block {
  std::vector<std::uint64_t> memory;
  std::unique_ptr<Barrier> barrier;
  std::vector<std::unique_ptr<Barrier>> warps;
};

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
};

Broken broken = Broken::nothing;

// State of this thread.
thread_local Block* block = nullptr;
thread_local std::vector<std::vector<Copy>> batches;
thread_local std::vector<const unsigned*> loaded;
thread_local unsigned barriers = 0;  // barriers of its block that it has passed

[[noreturn]] void unsupported(const char* what) {
  std::fprintf(stderr, "emulated GPU, by threads: %s is not supported\n", what);
  std::abort();
}

unsigned thread_number() { return threadIdx.x; }

}  // namespace

void* shared_memory() { return block->memory.data(); }
void meet_block() {
  const Broken kind = barriers++ % 2 == 0 ? Broken::even_barriers : Broken::odd_barriers;
  if (broken == kind) return block->barrier->meet_without_order();
  block->barrier->meet();
}
void meet_warp() { block->warps[thread_number() / kWarp]->meet(); }
unsigned lane() { return thread_number() % kWarp; }
bool meet_block_or(bool) { unsupported("__syncthreads_or"); }
std::uint64_t exchange(std::uint64_t, unsigned) { unsupported("a warp shuffle"); }

void store_release(unsigned* flag, unsigned value) {
  std::atomic_ref(*flag).store(
      value, broken == Broken::release ? std::memory_order_relaxed : std::memory_order_release);
}
unsigned load_relaxed(const unsigned* flag) {
  const unsigned found =
      std::atomic_ref(*const_cast<unsigned*>(flag)).load(std::memory_order_relaxed);
  if (loaded.empty() || loaded.back() != flag) {
    loaded.push_back(flag);
  } else {  // the thread polls
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return found;
}
// The sanitizer knows no fences. By the rules of C++ a fence acquires what earlier loads read. An
// acquiring load of the same flags does so too.
void acquire_loaded() {
  for (const unsigned* flag : loaded) {
    if (broken == Broken::fence) break;
    std::atomic_ref(*const_cast<unsigned*>(flag)).load(std::memory_order_acquire);
  }
  loaded.clear();
}

// The device may copy at any time before the wait ends: this copies at both ends of that time.
void copy_async(void* to, const void* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
  batches.back().push_back({to, from, bytes});
}
void end_batch() { batches.emplace_back(); }
void wait_for_batches(std::size_t left) {
  while (batches.size() > left + 1) {
    for (const Copy& copy : batches.front()) std::memcpy(copy.to, copy.from, copy.bytes);
    batches.erase(batches.begin());
  }
}

void run_resident_threads(dim3 grid, dim3 size, std::size_t shared_bytes, Broken left_out,
                          const std::function<void()>& thread) {
  broken = left_out;
  gridDim = grid;
  blockDim = size;
  std::vector<Block> blocks(std::size_t{grid.x} * grid.y);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    Block& b = blocks[i];
    b.memory.assign(shared_bytes / sizeof(std::uint64_t) + 1, ~std::uint64_t{0});
    b.barrier = std::make_unique<Barrier>(size.x);
    for (unsigned first = 0; first < size.x; first += kWarp) {
      b.warps.push_back(std::make_unique<Barrier>(std::min(kWarp, size.x - first)));
    }
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    for (unsigned t = 0; t < size.x; ++t) {
      threads.emplace_back([&, i, t] {
        block = &blocks[i];
        batches.assign(1, {});
        blockIdx = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x), 0};
        threadIdx = {t, 0, 0};
        thread();
      });
    }
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace emulation
