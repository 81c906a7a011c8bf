// SPDX-License-Identifier: MIT
// PackedWeight: a weight matrix as panels (panels.h). The tensor's memory keeps the panels until it
// is written. Does not multiply.
#pragma once

#include "tapeloop/autograd/device/cpu/gemm.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::cpu {

struct PackedForm;

// B [k, n] = the elements of `weight` seen through `b`. The columns are cut into `groups` equal
// groups; each group is packed by itself and padded to whole panels. The constructor packs at the
// first use and after each write to the tensor's memory; otherwise it reuses the panels. Memory
// with a pointer from data(), which can write at any time, is packed anew each time.
// Cost: packing copies k n elements, reuse takes about 20 ns. Keeps k n elements, and as many for
// the transposed use in the backward pass. Safe from several threads if none of them writes the
// weight.
template <class T>
class PackedWeight {
 public:
  // `group_stride`: elements from a group to the next; 0: from its columns to the next ones.
  PackedWeight(const Tensor& weight, MatrixView<T> b, std::int64_t k, std::int64_t n,
               std::int64_t groups = 1, std::int64_t group_stride = 0);
  ~PackedWeight();
  PackedWeight(PackedWeight&& other) noexcept;
  PackedWeight& operator=(const PackedWeight&) = delete;

  const T* panels(std::int64_t group = 0) const;
  std::int64_t panels_per_group() const { return per_group_; }
  std::int64_t panels_of_all() const { return per_group_ * groups_; }
  std::int64_t columns_per_group() const { return columns_; }

 private:
  PackedForm* kept_;
  std::int64_t columns_, groups_, per_group_, group_elements_;
};

}  // namespace tapeloop::cpu
