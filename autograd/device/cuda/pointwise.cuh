// SPDX-License-Identifier: MIT
// register_pointwise<F>(): the kernels of a functor and of its derivatives, compiled for CUDA in
// the .cu file that calls it. One thread calculates one element. Forward and backward use the same
// kernel, as on the CPU.
#pragma once

#include "tapeloop/autograd/device/cuda/each.cuh"
#include "tapeloop/autograd/device/cuda/launch.cuh"
#include "tapeloop/autograd/device/cuda/registry.h"

namespace tapeloop {

namespace cuda {

// A LoopPlan in the form that kernels read: innermost axis first, and only as many operands as F
// has.
template <int kOperands>
struct PointwisePlan {
  int rank;
  std::int64_t count;
  std::int64_t sizes[kMaxRank];
  void* data[kOperands];
  std::int64_t strides[kMaxRank][kOperands];
  const int* halted;
};

// Where a thread's element is in each operand.
template <int kOperands>
struct Offsets {
  std::int64_t at[kOperands];
};

template <int kOperands>
TL_HD Offsets<kOperands> offsets_of(const PointwisePlan<kOperands>& plan, std::int64_t i) {
  Offsets<kOperands> offsets{};
  // Not unrolled: most plans have one axis or two, and every kernel has this code.
#pragma unroll 1
  for (int axis = 0; axis + 1 < plan.rank; ++axis) {
    const Divided place = divide(i, plan.sizes[axis]);
    for (int k = 0; k < kOperands; ++k) offsets.at[k] += place.rest * plan.strides[axis][k];
    i = place.quotient;
  }
  const int last = plan.rank > 0 ? plan.rank - 1 : 0;
  for (int k = 0; k < kOperands; ++k) offsets.at[k] += i * plan.strides[last][k];
  return offsets;
}

template <class F, class T, std::size_t... I, std::size_t... O, int kOperands>
TL_HD void apply(const F& formula, const PointwisePlan<kOperands>& plan,
                 const Offsets<kOperands>& offsets, std::index_sequence<I...>,
                 std::index_sequence<O...>) {
  using V = Vec<T, isa::Lane>;
  constexpr std::size_t kIn = sizeof...(I);
  const auto results =
      as_outputs(formula(V{static_cast<const T*>(plan.data[I])[offsets.at[I]]}...));
  const auto store = [&](std::size_t k, V value) {
    T* const to = static_cast<T*>(plan.data[k]);
    if (to != nullptr) to[offsets.at[k]] = value.raw;
  };
  (store(kIn + O, dual::As<V>::convert(output<O>(results))), ...);
}

template <class F, class T>
inline constexpr int kOperandsOf = kArity<F> + kResultCount<F>;

template <class F, class T>
__global__ void __launch_bounds__(kThreads)
    pointwise_kernel(F formula, PointwisePlan<kOperandsOf<F, T>> plan) {
  const std::int64_t i = thread_number();
  if (i >= plan.count || (plan.halted != nullptr && *plan.halted != 0)) return;
  apply<F, T>(formula, plan, offsets_of(plan, i),
              std::make_index_sequence<static_cast<std::size_t>(kArity<F>)>{},
              std::make_index_sequence<static_cast<std::size_t>(kResultCount<F>)>{});
}

template <class F, class T>
void launch_pointwise(const void* functor, const LoopPlan& plan, const int* halted) {
  PointwisePlan<kOperandsOf<F, T>> given;
  given.rank = plan.rank;
  given.count = 1;
  given.halted = halted;
  for (int axis = 0; axis < kMaxRank; ++axis) {
    const int from = plan.rank - 1 - axis;
    given.sizes[axis] = from < 0 ? 1 : plan.sizes[from];
    given.count *= given.sizes[axis];
  }
  for (int k = 0; k < kOperandsOf<F, T>; ++k) {
    given.data[k] = plan.operands[k].data;
    for (int axis = 0; axis < kMaxRank; ++axis) {
      const int from = plan.rank - 1 - axis;
      given.strides[axis][k] = from < 0 ? 0 : plan.operands[k].strides[from];
    }
  }
  if (given.count == 0) return;
  const Grid grid(given.count);
  launch(pointwise_kernel<F, T>, grid.blocks, grid.threads, 0, *static_cast<const F*>(functor),
         given);
}

}  // namespace cuda

// Compiles F, its gradient and the gradient of its gradient for CUDA, in float32 and float64, and
// registers them. F is a named struct at namespace scope. Returns true, so that a program's .cu
// file can call it at namespace scope:
//   static const bool kMyGate = tapeloop::register_pointwise<MyGate>();
template <class F>
bool register_pointwise() {
  static_assert(std::is_trivially_copyable_v<F> && sizeof(F) <= kMaxFunctorBytes,
                "a functor holds a few plain settings by value");
  cuda::PointwiseEntry entry{
      {&cuda::launch_pointwise<F, float>, &cuda::launch_pointwise<F, double>}, {}};
  if constexpr (kForMany<F>) {
    entry.each[0] = &cuda::launch_each<F, float>;
    entry.each[1] = &cuda::launch_each<F, double>;
  }
  cuda::add_pointwise(&kFunctorId<F>, entry);
  if constexpr (kDifferentiable<F> && kOrder<F> < kMaxOrder) {
    if constexpr (kArity<Backward<F>> + kResultCount<Backward<F>> <= kMaxOperands) {
      register_pointwise<Backward<F>>();
    }
  }
  return true;
}

namespace cuda {
template <class... F>
void register_page(Page<F...>) {
  (register_pointwise<F>(), ...);
}
template <class... F>
void register_sequences(Page<F...>);  // recurrent/recurrent.cuh
// Registers all formulas of a page; those in P::OfSequences also for recurrent().
template <class P>
void register_formulas(P page) {
  register_page(page);
  if constexpr (requires { typename P::OfSequences; }) {
    register_sequences(typename P::OfSequences{});
  }
}
}  // namespace cuda

}  // namespace tapeloop
