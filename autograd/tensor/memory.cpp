// SPDX-License-Identifier: MIT
// Per-thread free lists by size class, with eight classes for each doubling of the size (rounding
// loses at most 12.5 %). If another thread releases a block, it reduces the account of the thread
// that took the block.
#include "tapeloop/autograd/tensor/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "tapeloop/autograd/context/thread_context.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::memory {

// Bytes that other threads have released and the owner has not yet subtracted. When the owner ends,
// it subtracts the bytes that are still in use. The release that brings the sum to 0 is then the
// last one, and deletes the account.
struct Account {
  std::atomic<std::int64_t> returned{0};
  std::atomic<std::int64_t> of_elsewhere{0};  // the part on other devices

  void give_back(std::int64_t bytes) noexcept {
    if (returned.fetch_add(bytes, std::memory_order_acq_rel) + bytes == 0) delete this;
  }
};

using detail::thread_context;

namespace {

constexpr std::size_t kAlignment = 64;
constexpr int kClasses = 464;  // enough for 2^63 bytes

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kKeepBlocks = false;  // the sanitizer must see each block's own bounds and lifetime
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kKeepBlocks = false;
#else
constexpr bool kKeepBlocks = true;
#endif
#else
constexpr bool kKeepBlocks = true;
#endif

struct SizeClass {
  int index;
  std::size_t bytes;
};

SizeClass class_of(std::size_t bytes) {
  bytes = std::max(bytes, kAlignment);
  if (bytes <= 512) {
    std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return {static_cast<int>(rounded / kAlignment), rounded};
  }
  int doubling =
      static_cast<int>(std::bit_width(bytes - 1));  // bytes is in (2^(doubling-1), 2^doubling]
  std::size_t step = std::size_t{1} << (doubling - 4);
  std::size_t steps = (bytes + step - 1) / step;  // 9..16
  return {8 * (doubling - 9) + static_cast<int>(steps), steps * step};
}

// The size of the blocks in a class.
std::size_t bytes_of(std::size_t index) {
  if (index <= 512 / kAlignment) return index * kAlignment;
  const std::size_t doubling = (index - 1) / 8 + 8;
  return (index - 8 * (doubling - 9)) << (doubling - 4);
}

void free_block(void* block) { ::operator delete (block, std::align_val_t{kAlignment}); }

struct FreeBlock {
  FreeBlock* next;
};

struct Pool {
  std::array<FreeBlock*, kClasses> free{};
  Stats stats{};
  Account* account = nullptr;                      // made before the first block
  std::int64_t elsewhere = 0;                      // the part of live_bytes on other devices
  std::int64_t highest = 0;                        // the largest live_here() so far
  std::int64_t most_kept = std::int64_t{1} << 20;  // limit of live and cached bytes: 1.5 highest
  struct Scratch {
    void* block;
    std::size_t bytes;
  };
  std::array<Scratch, kScratchSlots> scratch{};

  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  void need_account() {
    if (account == nullptr) account = new Account;
  }
  void count_live(std::int64_t bytes) {
    stats.live_bytes += bytes;
    if (stats.live_bytes > stats.peak_bytes || live_here() > highest) raise_peak();
  }
  [[gnu::noinline]] void raise_peak() {
    subtract_returned();
    stats.peak_bytes = std::max(stats.peak_bytes, stats.live_bytes);
    highest = std::max(highest, live_here());
    most_kept = std::max(most_kept, highest + highest / 2);
  }
  void subtract_returned() {
    if (account == nullptr || account->returned.load(std::memory_order_relaxed) == 0) return;
    stats.live_bytes -= account->returned.exchange(0, std::memory_order_acq_rel);
    elsewhere -= account->of_elsewhere.exchange(0, std::memory_order_relaxed);
  }
  std::int64_t live_here() const { return stats.live_bytes - elsewhere; }

  void give_back_to_heap(std::int64_t keep_bytes) {
    for (std::size_t i = kClasses; i-- > 0 && stats.cached_bytes > keep_bytes;) {
      while (free[i] != nullptr && stats.cached_bytes > keep_bytes) {
        FreeBlock* block = free[i];
        free[i] = block->next;
        stats.cached_bytes -= static_cast<std::int64_t>(bytes_of(i));
        free_block(block);
      }
    }
  }
};

std::atomic<void (*)(bool thread_ends)> release_more_function{nullptr};

void call_release_more(bool thread_ends) {
  const auto release_more = release_more_function.load(std::memory_order_acquire);
  if (release_more != nullptr) release_more(thread_ends);
}

// The pool is destroyed at thread exit, before some static objects that still hold tensors. Their
// blocks go to the heap directly.
Pool::~Pool() {
  call_release_more(true);
  give_back_to_heap(0);
  if (account != nullptr) account->give_back(-stats.live_bytes);
  for (const Scratch& slot : scratch) free_block(slot.block);
  thread_context.pool_is_gone = true;
}
constinit thread_local Pool pool;

// A new block; the pool has none of this size.
[[gnu::noinline]] void* allocate_from_heap(std::size_t bytes, Account*& account) {
  account = nullptr;
  if (!thread_context.pool_is_gone) {
    pool.need_account();
    account = pool.account;
    ++pool.stats.heap_calls;
    // Free blocks of sizes that are no longer used must not pile up.
    pool.subtract_returned();
    pool.give_back_to_heap(pool.most_kept - pool.live_here());
  }
  void* block = ::operator new (bytes, std::align_val_t{kAlignment}, std::nothrow);
  if (block == nullptr) {
    release_cached();
    block = ::operator new (bytes, std::align_val_t{kAlignment}, std::nothrow);
  }
  if (block == nullptr) {
    fail("memory",
         fmt::format("the system refused a block of {} bytes ({:.3f} GiB); this thread has {} in "
                     "use. Make the model or the batch smaller, or cut the sequence by truncated "
                     "BPTT",
                     bytes, static_cast<double>(bytes) / (1 << 30),
                     thread_context.pool_is_gone ? 0 : pool.stats.live_bytes));
  }
  if (!thread_context.pool_is_gone) pool.count_live(static_cast<std::int64_t>(bytes));
  return block;
}

}  // namespace

std::size_t block_bytes(std::size_t bytes) { return class_of(bytes).bytes; }

void* allocate(std::size_t bytes, Account*& account) {
  const SizeClass size = class_of(bytes);
  const auto index = static_cast<std::size_t>(size.index);
  FreeBlock* const block = thread_context.pool_is_gone ? nullptr : pool.free[index];
  if (block == nullptr) return allocate_from_heap(size.bytes, account);
  pool.free[index] = block->next;
  pool.stats.cached_bytes -= static_cast<std::int64_t>(size.bytes);
  pool.count_live(static_cast<std::int64_t>(size.bytes));
  account = pool.account;
  return block;
}

void release(void* block, std::size_t bytes, Account* account) noexcept {
  const SizeClass size = class_of(bytes);
  const auto index = static_cast<std::size_t>(size.index);
  bool keeps = kKeepBlocks && !thread_context.pool_is_gone;
  if (!thread_context.pool_is_gone && account == pool.account && account != nullptr) [[likely]] {
    pool.stats.live_bytes -= static_cast<std::int64_t>(size.bytes);
  } else {
    if (account != nullptr) account->give_back(static_cast<std::int64_t>(size.bytes));
    // A thread without an account could not count the block when it uses it again.
    keeps = keeps && pool.account != nullptr;
  }
  // A thread that mostly releases blocks of other threads must not collect them for ever.
  if (!keeps || pool.stats.cached_bytes > pool.most_kept) {
    free_block(block);
    return;
  }
  pool.free[index] = new (block) FreeBlock{pool.free[index]};
  pool.stats.cached_bytes += static_cast<std::int64_t>(size.bytes);
}

// The pointer to the account is stored behind the block. Size classes mostly leave room for it.
static std::size_t account_offset(std::size_t bytes) {
  return (bytes + alignof(Account*) - 1) / alignof(Account*) * alignof(Account*);
}

void* allocate(std::size_t bytes) {
  const std::size_t offset = account_offset(bytes);
  Account* account = nullptr;
  void* const block = allocate(offset + sizeof(account), account);
  std::memcpy(static_cast<char*>(block) + offset, &account, sizeof(account));
  return block;
}

void release(void* block, std::size_t bytes) noexcept {
  const std::size_t offset = account_offset(bytes);
  Account* account = nullptr;
  std::memcpy(&account, static_cast<char*>(block) + offset, sizeof(account));
  release(block, offset + sizeof(account), account);
}

Stats stats() {
  if (thread_context.pool_is_gone) return {};
  pool.subtract_returned();
  return pool.stats;
}

void take_elsewhere(std::int64_t bytes, Account*& account) {
  account = nullptr;
  if (thread_context.pool_is_gone) return;
  pool.need_account();
  pool.elsewhere += bytes;
  pool.count_live(bytes);
  account = pool.account;
}

void release_elsewhere(std::int64_t bytes, Account* account) noexcept {
  if (account == nullptr || bytes == 0) return;
  if (thread_context.pool_is_gone || account != pool.account) {
    account->of_elsewhere.fetch_add(bytes, std::memory_order_relaxed);
    return account->give_back(bytes);
  }
  pool.elsewhere -= bytes;
  pool.stats.live_bytes -= bytes;
}

void reset_peak() {
  if (!thread_context.pool_is_gone) pool.stats.peak_bytes = stats().live_bytes;
}

PeakMeter::PeakMeter() : start_(stats().live_bytes), peak_before_(stats().peak_bytes) {
  reset_peak();
}
PeakMeter::~PeakMeter() {
  if (!thread_context.pool_is_gone)
    pool.stats.peak_bytes = std::max(pool.stats.peak_bytes, peak_before_);
}
std::int64_t PeakMeter::bytes() const { return stats().peak_bytes - start_; }

void also_release(void (*release_more)(bool thread_ends)) {
  release_more_function.store(release_more, std::memory_order_release);
  if (!thread_context.pool_is_gone)
    pool.need_account();  // the pool's destructor runs if the pool was used
}

void release_cached() {
  if (thread_context.pool_is_gone) return;
  call_release_more(false);
  pool.give_back_to_heap(0);
}

void* scratch(int slot, std::size_t bytes) {
  const auto fresh = [bytes] { return ::operator new (bytes, std::align_val_t{kAlignment}); };
  if (thread_context.pool_is_gone)
    return fresh();  // for a static object's destructor; nobody frees it
  Pool::Scratch& kept = pool.scratch[static_cast<std::size_t>(slot)];
  if (bytes > kept.bytes) {
    free_block(std::exchange(kept, {}).block);
    kept = {fresh(), bytes};
  }
  return kept.block;
}

}  // namespace tapeloop::memory
