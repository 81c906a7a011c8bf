// SPDX-License-Identifier: MIT
// Writes every element of a tensor: copies between any strides and types, a value, random numbers.
// Uses the pointwise kernel's walk over strided operands. The runtime copies elements of one type
// that lie in one piece. Random numbers are counter-based: the functions of random.h,
// one number per thread.
#include <type_traits>

#include "tapeloop/autograd/device/cuda/capture.cuh"
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/pointwise.cuh"
#include "tapeloop/autograd/device/plan.h"
#include "tapeloop/autograd/number/random.h"

namespace tapeloop::cuda {
namespace {

template <int kOperands>
PointwisePlan<kOperands> walk_over(const Shape& shape, std::span<const Tensor> operands) {
  const LoopPlan plan = plan_loop(shape, operands);
  PointwisePlan<kOperands> result{};
  result.rank = plan.rank;
  result.count = shape.numel();
  for (int axis = 0; axis < plan.rank; ++axis) {
    result.sizes[axis] = plan.sizes[plan.rank - 1 - axis];
    for (int k = 0; k < kOperands; ++k) {
      result.strides[axis][k] = plan.operands[k].strides[plan.rank - 1 - axis];
    }
  }
  for (int k = 0; k < kOperands; ++k) result.data[k] = plan.operands[k].data;
  return result;
}

// Returns whether element i fits int64. If not, notes the element for the host.
template <class From>
__device__ __forceinline__ bool has_integer(From x, std::int64_t i, std::int64_t count,
                                            const Notes& notes) {
  if (x >= From(-0x1p63) && x < From(0x1p63)) return true;
  if (*static_cast<volatile int*>(notes.halted) != 0) return false;  // keep the first mistake
  volatile Mistake* const mistake = notes.mistake;
  mistake->index = i;
  mistake->size = count;
  mistake->in = MistakeIn::integers;
  *notes.halted = 1;
  return false;
}

template <class To, class From>
__global__ void __launch_bounds__(kThreads) copy_kernel(PointwisePlan<2> plan, Notes notes) {
  const std::int64_t i = thread_number();
  if (i >= plan.count) return;
  const Offsets<2> offsets = offsets_of(plan, i);
  From x = static_cast<const From*>(plan.data[1])[offsets.at[1]];
  if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    if (!has_integer(x, i, plan.count, notes)) x = 0;
  }
  static_cast<To*>(plan.data[0])[offsets.at[0]] = static_cast<To>(x);
}

template <class T>
__global__ void __launch_bounds__(kThreads) fill_kernel(PointwisePlan<1> plan, T value) {
  const std::int64_t i = thread_number();
  if (i >= plan.count) return;
  static_cast<T*>(plan.data[0])[offsets_of(plan, i).at[0]] = value;
}

template <class T, bool kNormal>
__global__ void __launch_bounds__(kThreads)
    random_kernel(T* to, std::int64_t count, std::uint64_t seed, std::uint64_t first,
                  const std::uint64_t* renewed) {
  const std::int64_t i = thread_number();
  if (i >= count) return;
  if (renewed != nullptr) {  // in a captured step
    seed = renewed[0];
    first = renewed[1];
  }
  const std::uint64_t number = first + static_cast<std::uint64_t>(i);
  if constexpr (kNormal) {
    to[i] = static_cast<T>(normal_at(seed, number));
  } else {
    to[i] = static_cast<T>(uniform_at(seed, number));
  }
}

template <bool kNormal>
void random(const Tensor& to, std::uint64_t seed, std::uint64_t first) {
  if (to.numel() == 0) return;
  const Grid grid(to.numel());
  const std::scoped_lock lock(working());
  Capture* const capture = Capture::in_progress();
  const std::uint64_t* const renewed = capture == nullptr ? nullptr : capture->numbers(seed, first);
  with_float_type(to.dtype(), [&]<class T>(T) {
    launch(random_kernel<T, kNormal>, grid.blocks, grid.threads, 0, static_cast<T*>(to.raw()),
           to.numel(), seed, first, renewed);
  });
}

}  // namespace

void copy(const Tensor& to, const Tensor& from) {
  if (to.numel() == 0) return;
  const Tensor operands[] = {to, from};
  const PointwisePlan<2> plan = walk_over<2>(to.shape(), operands);
  const bool one_piece = plan.rank == 1 && plan.strides[0][0] == 1 && plan.strides[0][1] == 1;
  if (one_piece && to.dtype() == from.dtype()) {
    if (to.raw() == from.raw()) return;
    const auto bytes = static_cast<std::size_t>(plan.count * size_of(to.dtype()));
    const std::scoped_lock lock(working());
    CUDA_CHECK(
        cudaMemcpyAsync(to.raw(), from.raw(), bytes, cudaMemcpyDeviceToDevice, gpu().stream));
    return;
  }
  const Grid grid(plan.count);
  with_any_type(to.dtype(), [&]<class To>(To) {
    with_any_type(from.dtype(), [&]<class From>(From) {
      launch(copy_kernel<To, From>, grid.blocks, grid.threads, 0, plan, gpu().notes);
    });
  });
}

void fill(const Tensor& to, double value) {
  if (to.numel() == 0) return;
  const PointwisePlan<1> plan = walk_over<1>(to.shape(), {&to, 1});
  const Grid grid(plan.count);
  with_any_type(to.dtype(), [&]<class T>(T) {
    launch(fill_kernel<T>, grid.blocks, grid.threads, 0, plan, static_cast<T>(value));
  });
}

void uniform(const Tensor& to, std::uint64_t seed, std::uint64_t first) {
  random<false>(to, seed, first);
}
void normal(const Tensor& to, std::uint64_t seed, std::uint64_t first) {
  random<true>(to, seed, first);
}

}  // namespace tapeloop::cuda
