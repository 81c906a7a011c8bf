// SPDX-License-Identifier: MIT
// The SIMD loop of a pointwise functor on the CPU, for one instruction set, and the kernel table made of it.
// Forward and backward are the same loop: the backward of a functor is a functor. Knows nothing of tensors.
#pragma once

#include <cstring>

#include "autograd/kernel.h"

namespace tapeloop {

namespace cpu {

template <class Isa, class T, class F>
struct PointwiseLoop {
  using V = Vec<T, Isa>;
  static constexpr int kIn = kArity<F>;
  static constexpr int kOut = kResultCount<F>;
  static constexpr std::int64_t kWidth = V::width;
  static constexpr std::int64_t kBlock = 128;  // elements gathered at a time where an operand is strided

  struct Row {
    T* data[kIn + kOut];               // first element of each operand
    std::int64_t stride[kIn + kOut];   // along the row
  };

  [[gnu::flatten]] static void run(const void* functor, const LoopPlan& plan, std::int64_t begin, std::int64_t end) {
    const F formula = *static_cast<const F*>(functor);
    const int inner = plan.rank - 1;
    Row row;
    bool strided = false;
    for (int k = 0; k < kIn + kOut; ++k) {
      row.data[k] = reinterpret_cast<T*>(plan.operands[k].data);
      row.stride[k] = plan.operands[k].strides[inner];
      bool simple = row.stride[k] == 1 || (k < kIn && row.stride[k] == 0) || row.data[k] == nullptr;
      strided = strided || !simple;
    }
    if (inner == 0) {
      for (int k = 0; k < kIn + kOut; ++k) {
        if (row.data[k] != nullptr) row.data[k] += begin * row.stride[k];
      }
      return strided ? strided_row(formula, row, end - begin) : simple_row(formula, row, end - begin);
    }
    std::int64_t index[kMaxRank] = {};
    std::int64_t rest = begin;
    for (int axis = inner - 1; axis >= 0; --axis) {
      index[axis] = rest % plan.sizes[axis];
      rest /= plan.sizes[axis];
      for (int k = 0; k < kIn + kOut; ++k) {
        if (row.data[k] != nullptr) row.data[k] += index[axis] * plan.operands[k].strides[axis];
      }
    }
    for (std::int64_t i = begin; i < end; ++i) {
      if (strided) {
        strided_row(formula, row, plan.sizes[inner]);
      } else {
        simple_row(formula, row, plan.sizes[inner]);
      }
      for (int axis = inner - 1; axis >= 0; --axis) {
        bool carry = ++index[axis] == plan.sizes[axis];
        std::int64_t steps = carry ? 1 - plan.sizes[axis] : 1;
        for (int k = 0; k < kIn + kOut; ++k) {
          if (row.data[k] != nullptr) row.data[k] += steps * plan.operands[k].strides[axis];
        }
        if (!carry) break;
        index[axis] = 0;
      }
    }
  }

 private:
  // Every operand is contiguous, or one repeated element (inputs), or unwanted (outputs).
  [[gnu::noinline, gnu::flatten]] static void simple_row(const F& formula, const Row& row, std::int64_t length) {
    alignas(64) T spare[kIn + kOut][static_cast<std::size_t>(kWidth)] = {};  // repeated inputs, tails, unwanted outputs
    T* from[kIn + kOut];
    std::int64_t step[kIn + kOut];
    for (int k = 0; k < kIn + kOut; ++k) {
      bool repeated = k < kIn && row.stride[k] == 0;
      bool in_place = !repeated && row.data[k] != nullptr;
      from[k] = in_place ? row.data[k] : spare[k];
      step[k] = in_place ? 1 : 0;
      for (std::int64_t lane = 0; repeated && lane < kWidth; ++lane) spare[k][lane] = *row.data[k];
    }
    for (std::int64_t i = 0; i < length; i += kWidth) {
      const bool tail = length - i < kWidth;
      if (tail) [[unlikely]] {
        auto bytes = static_cast<std::size_t>(length - i) * sizeof(T);
        for (int k = 0; k < kIn + kOut; ++k) {
          if (step[k] == 0) continue;
          if (k < kIn) std::memcpy(spare[k], from[k] + i, bytes);
          from[k] = spare[k];
          step[k] = 0;
        }
      }
      apply(formula, from, step, i, std::make_index_sequence<kIn>{}, std::make_index_sequence<kOut>{});
      if (tail) [[unlikely]] {
        auto bytes = static_cast<std::size_t>(length - i) * sizeof(T);
        for (int k = kIn; k < kIn + kOut; ++k) {
          if (row.data[k] != nullptr) std::memcpy(row.data[k] + i, spare[k], bytes);
        }
      }
    }
  }

  template <std::size_t... I, std::size_t... O>
  static TL_HD void apply(const F& formula, T* const* from, const std::int64_t* step, std::int64_t i,
                          std::index_sequence<I...>, std::index_sequence<O...>) {
    auto results = as_outputs(formula(V::load(from[I] + i * step[I])...));
    (dual::As<V>::convert(output<O>(results)).store(from[kIn + O] + i * step[kIn + O]), ...);
  }

  // Any strides: blocks are gathered, computed, scattered.
  [[gnu::noinline]] static void strided_row(const F& formula, const Row& row, std::int64_t length) {
    alignas(64) T block[kIn + kOut][kBlock];
    for (std::int64_t i = 0; i < length; i += kBlock) {
      std::int64_t count = length - i < kBlock ? length - i : kBlock;
      Row part;
      for (int k = 0; k < kIn + kOut; ++k) {
        bool wanted = row.data[k] != nullptr;
        part.data[k] = wanted ? block[k] : nullptr;
        part.stride[k] = 1;
        for (std::int64_t n = 0; k < kIn && n < count; ++n) block[k][n] = row.data[k][(i + n) * row.stride[k]];
      }
      simple_row(formula, part, count);
      for (int k = kIn; k < kIn + kOut; ++k) {
        for (std::int64_t n = 0; row.data[k] != nullptr && n < count; ++n) {
          row.data[k][(i + n) * row.stride[k]] = block[k][n];
        }
      }
    }
  }
};

// The kernel of F for one instruction set, linked to those of its derivatives.
template <class Isa, class F>
inline constexpr PointwiseKernel kKernel = {
    functor_name<F>(), kArity<F>, kResultCount<F>, sizeof(F),
    []() -> const PointwiseKernel* {
      if constexpr (kDifferentiable<F> && kOrder<F> < kMaxOrder) {
        return &kKernel<Isa, Backward<F>>;
      } else {
        return nullptr;
      }
    }(),
    {&PointwiseLoop<Isa, float, F>::run, &PointwiseLoop<Isa, double, F>::run}};

// The kernels of a page, in its order.
template <class Isa, class... F>
std::span<const PointwiseKernel* const> page_kernels(Page<F...>) {
  static constexpr const PointwiseKernel* kKernels[] = {&kKernel<Isa, F>...};
  return kKernels;
}

}  // namespace cpu

// A functor of one of the library's pages is compiled there; any other one here, for the instruction set of this file.
template <class F>
const PointwiseKernel& pointwise_kernel() {
  using P = typename PageOf<F>::type;
  if constexpr (std::is_void_v<P>) {
    return cpu::kKernel<isa::Native, F>;
  } else {
    return *P::kernels()[P::template index_of<F>()];
  }
}

}  // namespace tapeloop
