// SPDX-License-Identifier: MIT
// Stamp: shows whether a tensor's elements are still those of an earlier time. Storage (tensor.h)
// counts the writes to a tensor's memory. Knows no operation and no gradient.
#pragma once

#include <cstdint>

#include "autograd/tensor.h"

namespace tapeloop::detail {

// Describes a tensor's elements at the time when the stamp was made: by the count of writes to the
// memory, or by a checksum of the elements if somebody has a pointer to them (data()) and can write
// without being counted.
// Cost: a few instructions. With a checksum one pass over the elements, now and in each holds().
class Stamp {
 public:
  enum class Pointers { checksum, ignore };  // how to treat writes through pointers

  Stamp() = default;
  // `label`: 8 bits that the caller stores here.
  Stamp(const Tensor& tensor, unsigned label, Pointers pointers = Pointers::checksum) {
    Storage* const storage = storage_of(tensor);
    if (storage == nullptr) return;
    if (!storage->saved.load(std::memory_order_relaxed)) {
      storage->saved.store(true, std::memory_order_relaxed);
    }
    if (storage->exposed.load(std::memory_order_acquire)) {
      bits_ = pointers == Pointers::ignore ? kUnknown : checksum_of(tensor) << kShift | kChecksum;
    } else {
      bits_ = storage->writes.load(std::memory_order_relaxed) << kShift;
    }
    bits_ |= std::uint64_t{label} << kKindBits;
  }

  // True if `tensor`, the one of the constructor, still has the elements that it had then. A write
  // to another part of the same memory does not count. After very many such writes, an old one
  // counts as a write to the whole memory.
  bool holds(const Tensor& tensor) const {
    const Storage* const storage = storage_of(tensor);
    if (storage == nullptr) return true;
    const std::uint64_t now = storage->writes.load(std::memory_order_relaxed) << kShift;
    return ((bits_ ^ now) & ~kLabelMask) == 0 || holds_by_log(tensor);
  }
  unsigned label() const { return static_cast<unsigned>((bits_ & kLabelMask) >> kKindBits); }

 private:
  static constexpr int kKindBits = 2, kShift = 10;
  static constexpr std::uint64_t kCount = 0, kChecksum = 1, kUnknown = 2;
  static constexpr std::uint64_t kLabelMask = std::uint64_t{0xff} << kKindBits;

  static std::uint64_t checksum_of(const Tensor& tensor);
  bool holds_by_log(const Tensor& tensor) const;

  std::uint64_t bits_ = 0;  // count of writes or checksum, label, kind
};

}  // namespace tapeloop::detail
