// SPDX-License-Identifier: MIT
// TensorMeter: how much memory the tensors of a calculation take at once, by their sizes alone. The
// same calculation always gives the same count: the pool, packed weights, earlier allocations and
// other threads make no difference.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <utility>

#include "tapeloop/autograd/context/thread_context.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::detail {

class TensorMeter {
 public:
  TensorMeter()
      : outer_(std::exchange(thread_context.tensor_meter, this)), id_(last_id_.fetch_add(1) + 1) {}
  ~TensorMeter() { thread_context.tensor_meter = outer_; }
  TensorMeter(const TensorMeter&) = delete;
  TensorMeter& operator=(const TensorMeter&) = delete;

  // Peak of the bytes of tensors that this thread made while this was its innermost meter.
  std::int64_t peak() const { return peak_; }

  // For new_storage() and delete_storage(). This meter counted the blocks that have its id.
  static TensorMeter* current() { return thread_context.tensor_meter; }
  std::uint64_t id() const { return id_; }
  void made(std::size_t bytes) {
    live_ += static_cast<std::int64_t>(memory::block_bytes(bytes));
    peak_ = std::max(peak_, live_);
  }
  void freed(std::size_t bytes) { live_ -= static_cast<std::int64_t>(memory::block_bytes(bytes)); }

 private:
  inline static std::atomic<std::uint64_t> last_id_{0};  // of all threads' meters; 0: no meter
  TensorMeter* outer_;
  std::uint64_t id_;
  std::int64_t live_ = 0, peak_ = 0;
};

}  // namespace tapeloop::detail
