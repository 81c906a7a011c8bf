// SPDX-License-Identifier: MIT
// The SIMD loop of a pointwise functor on the CPU, for one instruction set, and the kernel table
// made from it. Forward and backward use the same loop, because the backward of a functor is a
// functor. Knows nothing of tensors.
#pragma once

#include "tapeloop/autograd/formula/compiled_arithmetic.h"
#include "tapeloop/autograd/formula/formula_trace.h"
#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop {

namespace cpu {

// Recalculates the gradients whose quick values in the outputs are NaN, with the exact chain rule,
// in which 0 times infinity is 0. Rarely called.
template <class Isa, class T, class F>
[[gnu::noinline, gnu::cold]] void exact_gradients(const void* functor, void* const* data,
                                                  const std::int64_t* step, std::int64_t count) {
  using V = Vec<T, Isa>;
  constexpr int kIn = kArity<F>;
  const F formula = *static_cast<const F*>(functor);
  const auto at = [&](std::size_t k, std::int64_t i) {
    return static_cast<T*>(data[k]) + i * step[k];
  };
  const auto mend = [](T* quick, V exact) {
    const V x = V::load(quick);
    select(x == x, x, exact).store(quick);
  };
  [&]<std::size_t... I, std::size_t... O>(std::index_sequence<I...>, std::index_sequence<O...>) {
    for (std::int64_t i = 0; i < count; i += V::width) {
      const auto exact = as_outputs(formula(V::load(at(I, i))...));
      (mend(at(kIn + O, i), dual::As<V>::convert(output<O>(exact))), ...);
    }
  }
  (std::make_index_sequence<static_cast<std::size_t>(kIn)>{},
   std::make_index_sequence<static_cast<std::size_t>(kResultCount<F>)>{});
}

// True if the kernel of F may read its inputs again after it wrote outputs: it does so if a quick
// gradient is NaN.
template <class F>
inline constexpr bool kReadsAgain = kOrder<F> == 1;

// Runs `count` elements, a multiple of the register's width. Operand k starts at data[k] and moves
// by step[k] elements, 1 or 0, for each element. An output may also be an input, unless
// kReadsAgain<F>. walk.cpp handles rows and strides.
template <class Isa, class T, class F>
[[gnu::flatten]] void pointwise_loop(const void* functor, void* const* data,
                                     const std::int64_t* step, std::int64_t count) {
  using V = Vec<T, Isa>;
  constexpr int kIn = kArity<F>;
  constexpr int kOut = kResultCount<F>;
  static_assert(kIn + kOut <= kMaxOperands,
                "a pointwise functor has at most 40 inputs and results together");
  const F formula = *static_cast<const F*>(functor);
  [&]<std::size_t... I, std::size_t... O>(std::index_sequence<I...>, std::index_sequence<O...>) {
    const T* const from[] = {static_cast<const T*>(data[I])...};
    T* const to[] = {static_cast<T*>(data[kIn + O])...};
    if constexpr (kReadsAgain<F>) {
      V any = V::splat(0);  // becomes NaN at the first NaN and stays NaN
      for (std::int64_t i = 0; i < count; i += V::width) {
        const auto results = formula.quick(V::load(from[I] + i * step[I])...);
        (output<O>(results).store(to[O] + i * step[kIn + O]), ...);
        any = any + (output<O>(results) + ...);
      }
      if (any_nan(any)) exact_gradients<Isa, T, F>(functor, data, step, count);
    } else {
      for (std::int64_t i = 0; i < count; i += V::width) {
        const auto results = as_outputs(formula(V::load(from[I] + i * step[I])...));
        (dual::As<V>::convert(output<O>(results)).store(to[O] + i * step[kIn + O]), ...);
      }
    }
  }
  (std::make_index_sequence<kIn>{}, std::make_index_sequence<kOut>{});
}

// The kernel of F for one instruction set. Points to the kernels of its derivatives.
template <class Isa, class F>
inline constexpr PointwiseKernel kKernel = {
    functor_name<F>(),
    kArity<F>,
    kResultCount<F>,
    sizeof(F),
    Isa::vector_bytes,
    &kFunctorId<F>,
    []() -> const PointwiseKernel* {
      if constexpr (kDifferentiable<F> && kOrder<F> < kMaxOrder &&
                    kArity<Backward<F>> + kResultCount<Backward<F>> <= kMaxOperands) {
        return &kKernel<Isa, Backward<F>>;
      } else {
        return nullptr;
      }
    }(),
    {&pointwise_loop<Isa, float, F>, &pointwise_loop<Isa, double, F>},
    []() -> void (*)(const void*, detail::FormulaTrace&) {
      using Formula = typename detail::UserFormula<F>::type;
      if constexpr (kDifferentiable<Formula>) {
        return &detail::trace_formula<Isa, Formula>;
      } else {
        return nullptr;
      }
    }(),
    argument_names<F>(),
    result_names<F>(),
    kReadsAgain<F>,
    kOrder<F>,
    []() -> detail::Arithmetic (*)() {
      if constexpr (std::is_void_v<typename PageOf<F>::type> && kOrder<F> == 0) {
        return &detail::arithmetic_of<Isa, F>;
      } else {
        return nullptr;
      }
    }()};

// The kernels of a page, in the order of the page.
template <class Isa, class... F>
std::span<const PointwiseKernel* const> page_kernels(Page<F...>) {
  static constexpr const PointwiseKernel* kKernels[] = {&kKernel<Isa, F>...};
  return kKernels;
}

}  // namespace cpu

// The CPU kernel of F. If F is on one of the library's pages, the page has compiled the kernel.
// Otherwise the including file compiles it, for the instruction set of that file; the first use
// throws if its arithmetic differs from the library's. If several files use one formula, the linker
// keeps the loops and the arithmetic check of the same file.
template <class F>
const PointwiseKernel& pointwise_kernel() {
  using P = typename PageOf<F>::type;
  if constexpr (std::is_void_v<P>) {
    const PointwiseKernel& kernel = cpu::kKernel<isa::Native, F>;
    [[maybe_unused]] static const bool kChecked =
        kernel.arithmetic == nullptr || detail::check_arithmetic(kernel.name, kernel.arithmetic());
    return kernel;
  } else {
    return *P::kernels()[P::template index_of<F>()];
  }
}

}  // namespace tapeloop
