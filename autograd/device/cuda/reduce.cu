// SPDX-License-Identifier: MIT
// Reductions along any axes. Some lanes of a block share a result: each lane takes every so many
// elements, then a tree joins the lanes. So the order depends only on the shape. If there are few
// results of many elements, one launch reduces parts of them and a second launch joins the parts.
#include <type_traits>

#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/launch.cuh"
#include "tapeloop/autograd/number/math.h"

namespace tapeloop::cuda {
namespace {

struct ReduceAxes {
  int rank = 0;  // innermost first
  std::int64_t sizes[kMaxRank];
  std::int64_t from[kMaxRank];
  std::int64_t to[kMaxRank];
};

struct ReducePlan {
  ReduceAxes kept, reduced;
  std::int64_t results, elements;  // `elements` is the number for each result
  // The elements of a result that one block reduces: the grid's y counts parts.
  std::int64_t part;
  unsigned lanes;  // of a block that share a result; a power of two
  unsigned results_per_block;
  bool lanes_side_by_side;  // adjacent threads are lanes of a result; else adjacent results
};

TL_HD std::int64_t offset_in(const ReduceAxes& axes, const std::int64_t* strides, std::int64_t i) {
  std::int64_t offset = 0;
  for (int axis = 0; axis < kMaxRank; ++axis) {
    if (axis >= axes.rank) break;
    if (axis + 1 == axes.rank) return offset + i * strides[axis];
    const Divided place = divide(i, axes.sizes[axis]);
    offset += place.rest * strides[axis];
    i = place.quotient;
  }
  return offset;
}

// Reduces [results, elements] of T to [results], or to [parts, results] of N.
template <Reduction kKind, class T, class N, class Out>
__global__ void __launch_bounds__(kThreads) reduce_kernel(ReducePlan plan, const T* from, Out* to) {
  N* const partial = shared_memory<N>();
  const unsigned lane =
      plan.lanes_side_by_side ? threadIdx.x % plan.lanes : threadIdx.x / plan.results_per_block;
  const unsigned column =
      plan.lanes_side_by_side ? threadIdx.x / plan.lanes : threadIdx.x % plan.results_per_block;
  const std::int64_t result = std::int64_t{blockIdx.x} * plan.results_per_block + column;
  const std::int64_t first = std::int64_t{blockIdx.y} * plan.part;
  const std::int64_t end = first + plan.part < plan.elements ? first + plan.part : plan.elements;
  N total = neutral<kKind, N>();
  if (result < plan.results) {
    const T* const start = from + offset_in(plan.kept, plan.kept.from, result);
    for (std::int64_t i = first + lane; i < end; i += plan.lanes) {
      total = combine<kKind>(total,
                             static_cast<N>(start[offset_in(plan.reduced, plan.reduced.from, i)]));
    }
  }
  const unsigned own = lane * plan.results_per_block + column;
  partial[own] = total;
  __syncthreads();
  for (unsigned half = plan.lanes / 2; half > 0; half /= 2) {
    if (lane < half) {
      partial[own] = combine<kKind>(partial[own], partial[own + half * plan.results_per_block]);
    }
    __syncthreads();
  }
  if (lane == 0 && result < plan.results) {
    const std::int64_t place = gridDim.y > 1 ? blockIdx.y * plan.results + result
                                             : offset_in(plan.kept, plan.kept.to, result);
    to[place] = static_cast<Out>(partial[column]);
  }
}

void add_axis(ReduceAxes& axes, std::int64_t size, std::int64_t from, std::int64_t to) {
  const int n = axes.rank++;
  axes.sizes[n] = size;
  axes.from[n] = from;
  axes.to[n] = to;
}

unsigned power_of_2_up_to(std::int64_t bound) {
  unsigned result = 1;
  while (std::int64_t{result} * 2 <= bound) result *= 2;
  return result;
}

// Divides a block into results and lanes, so that adjacent threads read adjacent memory.
void lay_out(ReducePlan& plan) {
  plan.lanes_side_by_side =
      plan.kept.rank == 0 || (plan.reduced.rank > 0 && plan.reduced.from[0] == 1);
  const auto lanes_wanted = [&](std::int64_t most) {
    return power_of_2_up_to(std::clamp<std::int64_t>(plan.elements, 1, most));
  };
  plan.lanes = lanes_wanted(plan.lanes_side_by_side ? kThreads : kThreads / kWarp);
  plan.results_per_block = static_cast<unsigned>(kThreads) / plan.lanes;
  if (!plan.lanes_side_by_side) plan.results_per_block = static_cast<unsigned>(kWarp);
  plan.results_per_block = std::min(plan.results_per_block, power_of_2_up_to(2 * plan.results));
}

template <Reduction kKind, class T, class N, class Out>
void run(const ReducePlan& plan, const T* from, Out* to) {
  const std::int64_t per_block = plan.results_per_block;
  const dim3 grid{static_cast<unsigned>((plan.results + per_block - 1) / per_block),
                  static_cast<unsigned>((plan.elements + plan.part - 1) / plan.part)};
  const unsigned threads = plan.lanes * plan.results_per_block;
  launch(reduce_kernel<kKind, T, N, Out>, grid, dim3{threads}, threads * sizeof(N), plan, from, to);
}

constexpr std::int64_t kLongSum = 8192;  // a result with more elements may get several blocks
constexpr std::int64_t kMostParts = 512;
constexpr std::int64_t kEnoughBlocks = 256;  // keep a GPU busy without parts

template <Reduction kKind, class T>
void reduce_as(ReducePlan plan, const T* from, T* to) {
  // Sums and products are accumulated in float64. This costs no more, because reading memory limits
  // the kernel, and the result is rounded about once.
  using N = std::conditional_t<kKind == Reduction::sum || kKind == Reduction::product, double, T>;
  plan.part = plan.elements;
  lay_out(plan);
  if (plan.elements < kLongSum || plan.results >= kEnoughBlocks * plan.results_per_block) {
    return run<kKind, T, N, T>(plan, from, to);
  }
  const std::int64_t wanted = std::min(kMostParts, plan.elements / (kLongSum / 4));
  plan.part = (plan.elements + wanted - 1) / wanted;
  const std::int64_t parts = (plan.elements + plan.part - 1) / plan.part;
  const Scratch scratch(static_cast<std::size_t>(parts * plan.results) * sizeof(N));
  run<kKind, T, N, N>(plan, from, scratch.as<N>());
  ReducePlan second = plan;
  second.reduced = {};
  add_axis(second.reduced, parts, plan.results, 0);
  // In the scratch the kept axes are one contiguous row; in the result they are as before.
  second.kept = plan.kept;
  std::int64_t stride = 1;
  for (int axis = 0; axis < second.kept.rank; ++axis) {
    second.kept.from[axis] = stride;
    stride *= second.kept.sizes[axis];
  }
  second.elements = second.part = parts;
  lay_out(second);
  run<kKind, N, N, T>(second, scratch.as<N>(), to);
}

}  // namespace

void reduce(Reduction kind, const Tensor& to, const Tensor& from) {
  if (to.numel() == 0) return;
  if (from.numel() == 0) return fill(to, kind == Reduction::product ? 1.0 : 0.0);
  ReducePlan plan{};
  plan.results = to.numel();
  plan.elements = from.numel() / to.numel();
  for (int axis = from.rank() - 1; axis >= 0; --axis) {
    const std::int64_t size = from.dim(axis);
    if (size == 1) continue;
    if (to.dim(axis) == 1) {
      ReduceAxes& r = plan.reduced;
      if (r.rank > 0 && from.stride(axis) == r.from[r.rank - 1] * r.sizes[r.rank - 1]) {
        r.sizes[r.rank - 1] *= size;
      } else {
        add_axis(r, size, from.stride(axis), 0);
      }
    } else {
      add_axis(plan.kept, size, from.stride(axis), to.stride(axis));
    }
  }
  with_float_type(from.dtype(), [&]<class T>(T) {
    const T* source = static_cast<const T*>(from.raw());
    T* target = static_cast<T*>(to.raw());
    switch (kind) {
      case Reduction::sum: return reduce_as<Reduction::sum>(plan, source, target);
      case Reduction::product: return reduce_as<Reduction::product>(plan, source, target);
      case Reduction::max: return reduce_as<Reduction::max>(plan, source, target);
      case Reduction::min: return reduce_as<Reduction::min>(plan, source, target);
    }
  });
}

}  // namespace tapeloop::cuda
