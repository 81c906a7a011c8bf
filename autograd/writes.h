// SPDX-License-Identifier: MIT
// Stamp: tells whether a tensor's elements are still those of an earlier time. What was written to a tensor's memory is
// noted in its Storage (tensor.h). Knows no operation and no gradient.
#pragma once

#include <cstdint>

#include "autograd/tensor.h"

namespace tapeloop::detail {

// A tensor's elements at the time when the stamp was made: the count of writes to the memory, or a checksum of the
// elements where somebody has a pointer to them (data()), who can write without being counted.
// Cost: a few instructions; with a checksum one pass over the elements, now and in each holds().
class Stamp {
 public:
  enum class Pointers { checksum, ignore };  // what to do about writes through pointers

  Stamp() = default;
  // `label`: 8 bits that the caller keeps here.
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

  // Whether `tensor`, the one of the constructor, has the elements it had then. A write to another part of the same
  // memory does not count; among very many such writes an old one counts for the whole.
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
