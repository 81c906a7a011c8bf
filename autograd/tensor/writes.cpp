// SPDX-License-Identifier: MIT
// The log of the writes to a memory. Only memory that has a Stamp gets a log, at the first write to
// a part of it or the first pointer to it. Until then the count of writes is enough.
#include "tapeloop/autograd/tensor/writes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <new>
#include <numeric>
#include <thread>

#include "tapeloop/autograd/tensor/device_memory.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::detail {

// The last write of each granule. A granule is a run of bytes that every write covers as a whole or
// not at all. If a write does not fit, the log divides its granules. The smallest granule is one
// element, with 4 bytes for its number.
struct WriteLog {
  explicit WriteLog(std::uint64_t so_far) : whole(so_far), base(so_far) {}
  WriteLog(const WriteLog&) = delete;
  WriteLog& operator=(const WriteLog&) = delete;
  ~WriteLog() { forget_copy(); }

  void forget_copy() {
    if (copy != nullptr) memory::release(std::exchange(copy, nullptr), copy_bytes);
  }

  std::uint64_t whole;             // any write up to this one may have changed any element
  std::uint64_t base;              // the numbers in `last` count from here
  std::size_t granule = 0;         // bytes; 0: no part was written yet
  PoolVector<std::uint32_t> last;  // the last write of each granule
  // A copy of the elements from before the first pointer to them, for stamps that are older.
  char* copy = nullptr;
  std::size_t copy_bytes = 0;
};

namespace {

class StorageLock {
 public:
  explicit StorageLock(Storage& storage) : storage_(storage) {
    while (storage.locked.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
  }
  ~StorageLock() { storage_.locked.store(false, std::memory_order_release); }
  StorageLock(const StorageLock&) = delete;
  StorageLock& operator=(const StorageLock&) = delete;

 private:
  Storage& storage_;
};

// A tensor's bytes in its memory: runs of equal length, count[i] of them along axis i, innermost
// axis first.
struct Runs {
  std::size_t first = 0;  // from the memory's beginning
  std::size_t bytes = 0;  // of one run
  int axes = 0;
  std::array<std::size_t, kMaxRank> count{}, step{};

  // Calls visit(position) for each run. If a call returns false, stops and returns false.
  template <class Visit>
  bool each(Visit visit) const {
    std::array<std::size_t, kMaxRank> index{};
    for (std::size_t at = first;;) {
      if (!visit(at)) return false;
      std::size_t axis = 0;
      for (; axis < static_cast<std::size_t>(axes); ++axis) {
        at += step[axis];
        if (++index[axis] < count[axis]) break;
        at -= step[axis] * std::exchange(index[axis], 0);
      }
      if (axis == static_cast<std::size_t>(axes)) return true;
    }
  }
};

const char* elements_of(const Storage& storage) {
  return reinterpret_cast<const char*>(&storage) + kHeaderBytes;
}

// `tensor` must have elements.
Runs runs_of(const Tensor& tensor) {
  Storage& storage = *storage_of(tensor);
  const char* const memory =
      storage.device == Device::cpu
          ? elements_of(storage)
          : static_cast<const char*>(device_memory(storage.device).address(&storage));
  Runs runs;
  const std::int64_t size = size_of(tensor.dtype());
  std::int64_t first = static_cast<const char*>(tensor.raw()) - memory;
  std::size_t axes = 0;
  for (int axis = 0; axis < tensor.rank(); ++axis) {
    std::int64_t step = tensor.stride(axis) * size;
    if (tensor.dim(axis) == 1 || step == 0) continue;
    if (step < 0) {
      first += (tensor.dim(axis) - 1) * step;
      step = -step;
    }
    std::size_t place = axes++;
    for (; place > 0 && runs.step[place - 1] > static_cast<std::size_t>(step); --place) {
      runs.step[place] = runs.step[place - 1];
      runs.count[place] = runs.count[place - 1];
    }
    runs.step[place] = static_cast<std::size_t>(step);
    runs.count[place] = static_cast<std::size_t>(tensor.dim(axis));
  }
  runs.first = static_cast<std::size_t>(first);
  runs.bytes = static_cast<std::size_t>(size);
  std::size_t kept = 0;  // axes that continue the one before are merged with it
  for (std::size_t axis = 0; axis < axes; ++axis) {
    const std::size_t step = runs.step[axis], count = runs.count[axis];
    if (kept == 0 && step == runs.bytes) {
      runs.bytes *= count;
    } else if (kept > 0 && step == runs.step[kept - 1] * runs.count[kept - 1]) {
      runs.count[kept - 1] *= count;
    } else {
      runs.step[kept] = step;
      runs.count[kept++] = count;
    }
  }
  runs.axes = static_cast<int>(kept);
  return runs;
}

// Each mix() is a bijection of the lane for a given word, and of the word for a given lane. The
// rotation carries the top bits (signs) into later products.
class Checksum {
 public:
  void add(const char* bytes, std::size_t count) {
    std::array<std::uint64_t, kLanes> words;
    for (; count >= sizeof(words); bytes += sizeof(words), count -= sizeof(words)) {
      __builtin_memcpy(words.data(), bytes, sizeof(words));
      for (std::size_t k = 0; k < kLanes; ++k) mix(lanes_[k], words[k]);
    }
    words.fill(0);
    __builtin_memcpy(words.data(), bytes, count);
    for (std::size_t k = 0; k * 8 < count; ++k) mix(lanes_[k], words[k]);
  }
  std::uint64_t result() const {
    std::uint64_t all = 0;
    for (const std::uint64_t lane : lanes_) mix(all, lane);
    return all ^ all >> 32;
  }

 private:
  static constexpr std::size_t kLanes = 8;
  static void mix(std::uint64_t& lane, std::uint64_t word) {
    lane = std::rotl((lane ^ word) * 0x9E3779B97F4A7C15ull, 29);
  }
  std::array<std::uint64_t, kLanes> lanes_{};
};

std::uint64_t number_of_last(const Storage& storage) {
  return storage.writes.load(std::memory_order_relaxed) / kOneWrite;
}

// The caller holds the lock. If there is no log yet, all writes since the first stamp were to the
// whole memory.
WriteLog& log_of(Storage& storage) {
  if (storage.log == nullptr) {
    storage.log = new (memory::allocate(sizeof(WriteLog))) WriteLog(number_of_last(storage));
  }
  return *storage.log;
}

void fit_granule(WriteLog& log, const Runs& runs, std::size_t bytes) {
  std::size_t granule = std::gcd(std::gcd(log.granule, runs.first), runs.bytes);
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(runs.axes); ++axis) {
    granule = std::gcd(granule, runs.step[axis]);
  }
  if (granule == log.granule) return;
  PoolVector<std::uint32_t> last((bytes + granule - 1) / granule);
  if (log.granule != 0) {
    const std::size_t pieces = log.granule / granule;
    for (std::size_t i = 0; i < last.size(); ++i) last[i] = log.last[i / pieces];
  }
  log.last.swap(last);
  log.granule = granule;
}

// Another thread may write other elements meanwhile. No stamp needs the copy of those elements: an
// older stamp finds the counted write, and a newer stamp has a checksum.
__attribute__((no_sanitize("thread"))) void copy_elements(const char* from, char* to,
                                                          std::size_t bytes) {
  using Word __attribute__((may_alias)) = std::uint64_t;
  const auto* const words = reinterpret_cast<const Word*>(from);
  auto* const copies = reinterpret_cast<Word*>(to);
  for (std::size_t i = 0; i < bytes / sizeof(Word); ++i) {
    copies[i] = __atomic_load_n(words + i, __ATOMIC_RELAXED);
  }
  for (std::size_t i = bytes / sizeof(Word) * sizeof(Word); i < bytes; ++i) {
    to[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
  }
}

}  // namespace

Extent extent_of(const Tensor& tensor) {
  const auto size = size_of(tensor.dtype());
  std::int64_t first = 0, last = size - 1;
  for (int axis = 0; axis < tensor.rank(); ++axis) {
    const std::int64_t reach = (tensor.dim(axis) - 1) * tensor.stride(axis) * size;
    (reach < 0 ? first : last) += reach;
  }
  const char* const origin = static_cast<const char*>(tensor.raw());
  return {origin + first, origin + last};
}

void delete_log(WriteLog* log) noexcept {
  log->~WriteLog();
  memory::release(log, sizeof(WriteLog));
}

void undefined_written() { fail("tensor", "an undefined tensor was written; assign one first"); }

// Takes the number of the write under the lock, so that the log gets the numbers in order.
void note_write(const Tensor& tensor) {
  if (tensor.numel() == 0) return;
  Storage& storage = *storage_of(tensor);
  const Runs runs = runs_of(tensor);
  const StorageLock lock(storage);
  if (runs.bytes == storage.bytes) {
    const std::uint64_t before = storage.writes.fetch_add(kOneWrite, std::memory_order_release);
    if (storage.log == nullptr) return;
    storage.log->whole = before / kOneWrite + 1;
    storage.log->forget_copy();  // all stamps that needed it are out of date
    return;
  }
  WriteLog& log = log_of(storage);
  fit_granule(log, runs, storage.bytes);
  const std::uint64_t write =
      storage.writes.fetch_add(kOneWrite, std::memory_order_release) / kOneWrite + 1;
  if (write - log.base > std::numeric_limits<std::uint32_t>::max()) {
    log.whole = log.base = write - 1;  // once in 4 billion writes: stamps from before fail
    std::fill(log.last.begin(), log.last.end(), 0);
  }
  const auto number = static_cast<std::uint32_t>(write - log.base);
  const std::size_t granules = runs.bytes / log.granule;
  runs.each([&](std::size_t at) {
    std::fill_n(log.last.data() + at / log.granule, granules, number);
    return true;
  });
}

void expose(Storage& storage) {
  const StorageLock lock(storage);
  if (storage.exposed.load(std::memory_order_relaxed)) return;
  std::uint64_t seen = storage.writes.load(std::memory_order_relaxed);
  bool done = false;
  while (!done && (seen & kSaved) == 0) {
    done = storage.writes.compare_exchange_weak(seen, seen | kExposed, std::memory_order_acq_rel);
  }
  if (!done) {
    // Some stamps know only the count of writes: they will compare the elements with a copy. The
    // copy is made after the flag is set, so all stamps from here on have a checksum.
    WriteLog& log = log_of(storage);
    log.copy = static_cast<char*>(memory::allocate(storage.bytes));
    log.copy_bytes = storage.bytes;
    storage.writes.fetch_or(kExposed, std::memory_order_acq_rel);
    copy_elements(elements_of(storage), log.copy, storage.bytes);
  }
  // This is last, because a thread that sees it may write at once.
  storage.exposed.store(true, std::memory_order_release);
}

std::uint64_t Stamp::checksum_of(const Tensor& tensor) {
  Checksum checksum;
  if (tensor.numel() > 0) {
    const char* const memory = elements_of(*storage_of(tensor));
    const Runs runs = runs_of(tensor);
    runs.each([&](std::size_t at) {
      checksum.add(memory + at, runs.bytes);
      return true;
    });
  }
  return checksum.result();
}

bool Stamp::holds_in_detail(const Tensor& tensor) const {
  const std::uint64_t kind = bits_ & 3, value = bits_ / kOneWrite;
  if (kind == kUnknown || tensor.numel() == 0) return true;
  if (kind == kChecksum) return checksum_of(tensor) / kOneWrite == value;
  const Runs runs = runs_of(tensor);
  Storage& storage = *storage_of(tensor);
  const StorageLock lock(storage);
  const WriteLog* const log = storage.log;
  if (log == nullptr || log->whole > value) return false;
  return runs.each([&](std::size_t at) {
    if (log->granule != 0) {
      const std::size_t end = (at + runs.bytes - 1) / log->granule + 1;
      for (std::size_t i = at / log->granule; i < end; ++i) {
        // 0: no write after `base`, which is no later than `whole`.
        if (log->base + log->last[i] > value) return false;
      }
    }
    return log->copy == nullptr ||
           __builtin_memcmp(elements_of(storage) + at, log->copy + at, runs.bytes) == 0;
  });
}

}  // namespace tapeloop::detail
