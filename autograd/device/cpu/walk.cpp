// SPDX-License-Identifier: MIT
// Walks over a loop plan: finds the operands of each row and passes whole registers to the kernel.
#include "tapeloop/autograd/device/cpu/walk.h"

#include <algorithm>
#include <cstring>

namespace tapeloop::cpu {
namespace {

constexpr std::int64_t kRegister = 64;  // bytes of the widest register
constexpr std::int64_t kBlock = 128;    // elements gathered at a time if an operand is strided

template <class T>
class Walker {
 public:
  // `row` and `stride` are those of each row: the first element of operand k, which moves by
  // stride[k]; null: the output is not wanted. Only the elements change from row to row.
  Walker(const PointwiseKernel& kernel, const void* functor, std::uint64_t overwritten,
         T* const* row, const std::int64_t* stride)
      : kernel_(kernel),
        functor_(functor),
        loop_(kernel.cpu[sizeof(T) == 4 ? 0 : 1]),
        width_(kernel.vector_bytes / static_cast<std::int64_t>(sizeof(T))),
        operands_(kernel.inputs + kernel.outputs),
        overwritten_(overwritten),
        stride_(stride) {
    for (int k = 0; k < operands_; ++k) {
      step_[k] = row[k] != nullptr && stride[k] == 1 ? 1 : 0;
      const bool repeated = k < kernel.inputs && stride[k] == 0;
      in_place_ = in_place_ && step_[k] == 1;
      strided_ = strided_ || !(step_[k] == 1 || repeated || row[k] == nullptr);
    }
  }

  // Runs a row of `length` elements.
  void row(T* const* row, std::int64_t length) {
    if (length == 0) return;
    if (length < width_) return few(row, stride_, length);
    if (strided_) {
      strided_row(row, length);
    } else if (overwritten_ != 0) {
      overwriting_row(row, length);
    } else {
      simple_row(row, stride_, step_, in_place_, length);
    }
  }

 private:
  // Every input is contiguous or one repeated element; every output is contiguous or not wanted.
  // step: 1 for operands that are used in place; all_in_place: all are.
  void simple_row(T* const* row, const std::int64_t* stride, const std::int64_t* step,
                  bool all_in_place, std::int64_t length) {
    const std::int64_t whole = length & -width_;
    void* data[kMaxOperands];
    if (all_in_place) {
      std::copy_n(row, operands_, data);
    } else {
      for (int k = 0; k < operands_; ++k) {
        data[k] = step[k] == 1 ? static_cast<void*>(row[k]) : spare_[k];
        if (step[k] == 0 && k < kernel_.inputs) std::fill_n(spare(k), width_, *row[k]);
      }
    }
    loop_(functor_, data, step, whole);
    if (whole == length) return;
    T* rest[kMaxOperands];
    for (int k = 0; k < operands_; ++k) {
      rest[k] = row[k] == nullptr ? nullptr : row[k] + whole * stride[k];
    }
    few(rest, stride, length - whole);
  }

  // Runs fewer elements than a register has, but at least one, at any strides. The other lanes
  // calculate the first element again; their results are dropped.
  void few(T* const* row, const std::int64_t* stride, std::int64_t count) {
    void* data[kMaxOperands];
    std::int64_t step[kMaxOperands];
    const int inputs = kernel_.inputs;
    for (int k = 0; k < operands_; ++k) {
      data[k] = spare_[k];
      step[k] = 0;
      if (k >= inputs) continue;
      std::fill_n(spare(k), kRegister / static_cast<std::int64_t>(sizeof(T)), *row[k]);
      if (count > 1) move(spare(k), 1, row[k], stride[k], count);
    }
    loop_(functor_, data, step, width_);
    for (int k = inputs; k < operands_; ++k) {
      if (row[k] == nullptr) continue;
      *row[k] = *spare(k);
      if (count > 1) move(row[k], stride[k], spare(k), 1, count);
    }
  }
  static void move(T* to, std::int64_t to_stride, const T* from, std::int64_t from_stride,
                   std::int64_t count) {
    if (count > 4 && to_stride == 1 && from_stride == 1) {
      std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
      return;
    }
    for (std::int64_t i = 0; i < count; ++i) to[i * to_stride] = from[i * from_stride];
  }

  // For short rows, where a call of memcpy takes too long.
  static void copy(T* to, const T* from, std::int64_t count) {
    constexpr std::int64_t kAtOnce = kRegister / static_cast<std::int64_t>(sizeof(T));
    std::int64_t n = 0;
    for (; n + kAtOnce <= count; n += kAtOnce) std::memcpy(to + n, from + n, kRegister);
    for (; n < count; ++n) to[n] = from[n];
  }

  // Runs a simple row whose outputs overwrite inputs. Copies these inputs first, block by block.
  void overwriting_row(T* const* row, std::int64_t length) {
    alignas(kRegister) T block[kMaxOperands][kBlock];
    T* part[kMaxOperands];
    for (std::int64_t i = 0; i < length; i += kBlock) {
      const std::int64_t count = std::min(kBlock, length - i);
      for (int k = 0; k < operands_; ++k) {
        part[k] = row[k] == nullptr ? nullptr : row[k] + i * stride_[k];
        if ((overwritten_ >> k & 1) == 0 || stride_[k] == 0) continue;
        copy(block[k], part[k], count);
        part[k] = block[k];
      }
      block_of_row(part, stride_, step_, in_place_, count);
    }
  }
  // The last block may be shorter than a register.
  void block_of_row(T* const* part, const std::int64_t* stride, const std::int64_t* step,
                    bool all_in_place, std::int64_t count) {
    if (count < width_) return few(part, stride, count);
    simple_row(part, stride, step, all_in_place, count);
  }

  // Runs a row with any strides: gathers a block, calculates, scatters.
  void strided_row(T* const* row, std::int64_t length) {
    alignas(kRegister) T block[kMaxOperands][kBlock];
    T* part[kMaxOperands];
    std::int64_t ones[kMaxOperands], step[kMaxOperands];
    for (int k = 0; k < operands_; ++k) {
      part[k] = row[k] == nullptr ? nullptr : block[k];
      ones[k] = 1;
      step[k] = row[k] == nullptr ? 0 : 1;
    }
    for (std::int64_t i = 0; i < length; i += kBlock) {
      const std::int64_t count = std::min(kBlock, length - i);
      for (int k = 0; k < kernel_.inputs; ++k) {
        move(block[k], 1, row[k] + i * stride_[k], stride_[k], count);
      }
      block_of_row(part, ones, step, false, count);
      for (int k = kernel_.inputs; k < operands_; ++k) {
        if (row[k] != nullptr) move(row[k] + i * stride_[k], stride_[k], block[k], 1, count);
      }
    }
  }

  T* spare(int k) { return reinterpret_cast<T*>(spare_[k]); }

  const PointwiseKernel& kernel_;
  const void* functor_;
  void (*loop_)(const void*, void* const*, const std::int64_t*, std::int64_t);
  std::int64_t width_;
  int operands_;
  // Bit k is set if input k is also an output and the kernel may read the input again after it
  // wrote that output.
  std::uint64_t overwritten_;
  const std::int64_t* stride_;
  std::int64_t step_[kMaxOperands];  // 1 for operands that simple_row() uses in place, 0 for others
  bool in_place_ = true;             // all of them
  bool strided_ = false;             // a row needs copies
  // For repeated inputs, tails, and outputs that are not wanted.
  alignas(kRegister) std::byte spare_[kMaxOperands][kRegister];
};

}  // namespace

template <class T>
void walk(const PointwiseKernel& kernel, const void* functor, const LoopPlan& plan,
          std::int64_t begin, std::int64_t end) {
  const int operands = kernel.inputs + kernel.outputs;
  const int inner = plan.rank - 1;
  T* row[kMaxOperands];
  std::int64_t stride[kMaxOperands];
  for (int k = 0; k < operands; ++k) {
    row[k] = reinterpret_cast<T*>(plan.operands[k].data);
    stride[k] = plan.operands[k].strides[inner];
  }
  auto move = [&](int axis, std::int64_t steps) {
    for (int k = 0; k < operands; ++k) {
      if (row[k] != nullptr) row[k] += steps * plan.operands[k].strides[axis];
    }
  };
  Walker<T> walker(kernel, functor, plan.overwritten, row, stride);
  if (inner == 0) {
    if (begin > 0) move(0, begin);
    walker.row(row, end - begin);
    return;
  }
  std::int64_t index[kMaxRank] = {};
  std::int64_t rest = begin;
  for (int axis = inner - 1; axis >= 0 && rest > 0; --axis) {
    index[axis] = rest % plan.sizes[axis];
    rest /= plan.sizes[axis];
    move(axis, index[axis]);
  }
  for (std::int64_t i = begin; i < end; ++i) {
    walker.row(row, plan.sizes[inner]);
    for (int axis = inner - 1; axis >= 0 && i + 1 < end; --axis) {
      if (++index[axis] < plan.sizes[axis]) {
        move(axis, 1);
        break;
      }
      move(axis, 1 - plan.sizes[axis]);
      index[axis] = 0;
    }
  }
}

template void walk<float>(const PointwiseKernel&, const void*, const LoopPlan&, std::int64_t,
                          std::int64_t);
template void walk<double>(const PointwiseKernel&, const void*, const LoopPlan&, std::int64_t,
                           std::int64_t);

}  // namespace tapeloop::cpu
