// SPDX-License-Identifier: MIT
// Stamp: shows whether a tensor's elements were written since the stamp was made. Storage counts
// the writes (tensor.h). Knows no operation and no gradient.
#pragma once

#include <cstdint>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::detail {

// The state of a tensor's elements when the stamp was made: the count of writes to the memory. If
// the program has a pointer to the elements (data()), its writes are not counted, so the stamp has
// a checksum of the elements instead.
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

  // True if `tensor`, which must be the one of the constructor, was not written since. Writes to
  // other elements of the same memory do not matter. A counted write matters even if it stores the
  // same value. Cost: one comparison if the memory was not written since; else one pass over the
  // tensor's part of the memory.
  bool holds(const Tensor& tensor) const {
    const Storage* const storage = storage_of(tensor);
    if (storage == nullptr) return true;
    const std::uint64_t now = storage->writes.load(std::memory_order_acquire);
    return ((bits_ ^ now) & ~kLabelMask) == 0 || holds_in_detail(tensor);
  }
  unsigned label() const { return static_cast<unsigned>((bits_ & kLabelMask) >> kKindBits); }

 private:
  // The bits: kind, label, then the count of writes or the checksum. Storage::writes has its count
  // in the same bits, kExposed in the bits of the kind, and kSaved in the bits of the label.
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
