// SPDX-License-Identifier: MIT
// The log of writes: which part of a tensor's memory was written, and when. It is kept only for
// memory of which a Stamp was made; for other memory the count of writes is enough.
#include "autograd/writes.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <new>

#include "autograd/error.h"
#include "autograd/memory.h"

namespace tapeloop::detail {

// Writes to a memory by their numbers (Storage::writes).
struct WriteLog {
  struct Part {
    std::uint64_t write;
    const char *first, *last;
  };
  std::uint64_t whole;         // up to this write, any element may have changed
  PoolVector<Part> parts;      // later writes, oldest first
  std::uint64_t checksum = 0;  // of the whole memory when its first pointer was given out
  bool has_checksum = false;
};

namespace {

constexpr std::size_t kMostParts = 16384;

// Only rare calls take this lock: writes to parts of saved memory, and checks that read the log.
std::mutex log_lock;

// Two running sums of words. The second one depends on the order of the words.
struct Checksum {
  std::uint64_t sum[4] = {}, places[4] = {};

  void add(const char* bytes, std::size_t count) {
    std::uint64_t words[4];
    for (; count >= sizeof(words); bytes += sizeof(words), count -= sizeof(words)) {
      __builtin_memcpy(words, bytes, sizeof(words));
      for (int k = 0; k < 4; ++k) {
        sum[k] += words[k];
        places[k] += sum[k];
      }
    }
    for (; count > 0;
         bytes += std::min<std::size_t>(8, count), count -= std::min<std::size_t>(8, count)) {
      std::uint64_t word = 0;
      __builtin_memcpy(&word, bytes, std::min<std::size_t>(8, count));
      sum[0] += word;
      places[0] += sum[0];
    }
  }
  std::uint64_t result() const {
    std::uint64_t mixed = 0;
    for (int k = 0; k < 4; ++k) {
      mixed = (std::rotl(mixed, 17) ^ sum[k]) * 0x9E3779B97F4A7C15ull;
      mixed = (std::rotl(mixed, 29) ^ places[k]) * 0xC2B2AE3D27D4EB4Full;
    }
    return mixed ^ mixed >> 32;
  }
};

std::uint64_t checksum_of_all(const Storage& storage) {
  Checksum checksum;
  checksum.add(reinterpret_cast<const char*>(&storage) + kHeaderBytes, storage.bytes);
  return checksum.result();
}

// The log of a memory. A new log knows nothing about earlier writes.
WriteLog& log_of(Storage& storage) {
  if (storage.log == nullptr) {
    storage.log = new (memory::allocate(sizeof(WriteLog)))
        WriteLog{storage.writes.load(std::memory_order_relaxed), {}};
  }
  return *storage.log;
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

void note_write(const Tensor& tensor) {
  const std::int64_t count = tensor.numel();
  if (count == 0) return;
  Storage& storage = *storage_of(tensor);
  const bool whole = static_cast<std::size_t>(count * size_of(tensor.dtype())) == storage.bytes;
  const std::lock_guard hold(log_lock);
  if (whole) {
    const std::uint64_t write = storage.writes.fetch_add(1, std::memory_order_release) + 1;
    if (storage.log != nullptr) {
      storage.log->whole = write;
      storage.log->parts.clear();
    }
    return;
  }
  WriteLog& log = log_of(storage);
  const Extent extent = extent_of(tensor);
  log.parts.push_back(
      {storage.writes.fetch_add(1, std::memory_order_release) + 1, extent.first, extent.last});
  if (log.parts.size() > kMostParts) {
    const auto middle = log.parts.begin() + static_cast<std::ptrdiff_t>(kMostParts / 2);
    log.whole = (middle - 1)->write;
    log.parts.erase(log.parts.begin(), middle);
  }
}

void expose(Storage& storage) {
  const std::lock_guard hold(log_lock);
  if (storage.exposed.load(std::memory_order_relaxed)) return;
  if (storage.saved.load(std::memory_order_relaxed)) {
    // From here on stamps compare elements: a pointer can write without being counted.
    WriteLog& log = log_of(storage);
    log.checksum = checksum_of_all(storage);
    log.has_checksum = true;
    storage.writes.fetch_add(1, std::memory_order_release);
  }
  storage.exposed.store(true, std::memory_order_release);
}

std::uint64_t Stamp::checksum_of(const Tensor& tensor) {
  const Tensor elements = tensor.contiguous();
  Checksum checksum;
  checksum.add(static_cast<const char*>(elements.raw()),
               static_cast<std::size_t>(elements.numel() * size_of(elements.dtype())));
  return checksum.result();
}

bool Stamp::holds_by_log(const Tensor& tensor) const {
  const std::uint64_t kind = bits_ & 3, value = bits_ >> kShift;
  if (kind == kUnknown) return true;
  if (kind == kChecksum) return (checksum_of(tensor) << kShift) >> kShift == value;
  if (tensor.numel() == 0) return true;
  const std::lock_guard hold(log_lock);
  const Storage& storage = *storage_of(tensor);
  const WriteLog* const log = storage.log;
  if (log == nullptr || log->whole > value) return false;
  const Extent extent = extent_of(tensor);
  for (std::size_t i = log->parts.size(); i-- > 0 && log->parts[i].write > value;) {
    if (log->parts[i].first <= extent.last && extent.first <= log->parts[i].last) return false;
  }
  return !log->has_checksum || log->checksum == checksum_of_all(storage);
}

}  // namespace tapeloop::detail
