// SPDX-License-Identifier: MIT
// Stamp: tells whether a tensor's elements are still those of an earlier time. A Storage counts its writes (tensor.h).
// Knows no operation and no gradient.
#pragma once

#include <cstdint>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::detail {

// The state of a tensor's elements when the stamp was made: the count of writes to the memory, or a checksum of the
// elements where somebody has a pointer to them (data()), who can write without being counted.
// Cost: a few instructions; with a checksum one pass over the elements, now and in each holds().
class Stamp {
 public:
  enum class Pointers { checksum, ignore };  // how to treat writes through pointers

  Stamp() = default;
  // `label`: 8 bits that the caller stores here.
  Stamp(const Tensor& tensor, unsigned label, Pointers pointers = Pointers::checksum) {
    Storage* const storage = storage_of(tensor);
    if (storage == nullptr) return;
    std::uint64_t now = storage->writes.load(std::memory_order_acquire);
    if ((now & kSaved) == 0) now = storage->writes.fetch_or(kSaved, std::memory_order_acq_rel);
    if ((now & kExposed) == 0) {
      bits_ = now & ~(kOneWrite - 1);
    } else if (pointers == Pointers::ignore) {
      bits_ = kUnknown;
    } else {
      bits_ = (checksum_of(tensor) & ~(kOneWrite - 1)) | kChecksum;
    }
    bits_ |= std::uint64_t{label} << kKindBits;
  }

  // Whether `tensor`, the one of the constructor, has the elements it had then. Writes to other elements of the same
  // memory do not count, whoever makes them and however many they are. A counted write counts even where it puts the
  // same value. Cost: one comparison where the memory was not written since; else one pass over the tensor's part of
  // the memory.
  bool holds(const Tensor& tensor) const {
    const Storage* const storage = storage_of(tensor);
    if (storage == nullptr) return true;
    const std::uint64_t now = storage->writes.load(std::memory_order_acquire);
    return ((bits_ ^ now) & ~kLabelMask) == 0 || holds_in_detail(tensor);
  }
  unsigned label() const { return static_cast<unsigned>((bits_ & kLabelMask) >> kKindBits); }

 private:
  // Kind, label, then the count of writes or the checksum: Storage::writes has its count in the same bits, kExposed
  // among those of the kind, and kSaved among those of the label.
  static constexpr int kKindBits = 2;
  static constexpr std::uint64_t kChecksum = 2, kUnknown = 3;
  static constexpr std::uint64_t kLabelMask = std::uint64_t{0xff} << kKindBits;
  static_assert(kOneWrite == kLabelMask + (std::uint64_t{1} << kKindBits));
  static_assert((kSaved & kLabelMask) == kSaved && kExposed == 1);

  static std::uint64_t checksum_of(const Tensor& tensor);
  bool holds_in_detail(const Tensor& tensor) const;

  std::uint64_t bits_ = 0;
};

}  // namespace tapeloop::detail
