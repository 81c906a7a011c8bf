// SPDX-License-Identifier: MIT
// Rows and elements by index, running sums, and the index of the largest element. Sums have the
// same order as on the CPU: one thread adds up each result, from the first source to the last; long
// sums are in float64. Uses no atomics.
#include <algorithm>
#include <array>

#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/launch.cuh"
#include "tapeloop/autograd/device/plan.h"

namespace tapeloop::cuda {
namespace {

// Returns whether the index is in range. If not, notes the index for the host.
__device__ __forceinline__ bool in_range(std::int64_t index, std::int64_t size, MistakeIn use,
                                         const Notes& notes) {
  if (index >= 0 && index < size) return true;
  if (*static_cast<volatile int*>(notes.halted) != 0) return false;  // keep the first mistake
  volatile Mistake* const mistake = notes.mistake;
  mistake->index = index;
  mistake->size = size;
  mistake->in = use;
  *notes.halted = 1;
  return false;
}

// --- lines along one axis ---

// The lines of up to three operands: where each line begins, and how far apart its elements are.
struct Lines {
  std::int64_t count;
  std::int64_t length;  // of each line
  int rank;
  std::int64_t sizes[kMaxRank];  // of the other axes, innermost first
  std::int64_t strides[3][kMaxRank];
  char* data[3];
  std::int64_t step[3];
};

Tensor without(const Tensor& tensor, int axis) { return tensor.slice(axis, 0, 1).select(axis, 0); }

Lines lines_of(const std::array<Tensor, 3>& operands, int axis, std::int64_t length) {
  const Tensor starts[] = {without(operands[0], axis), without(operands[1], axis),
                           without(operands[2], axis)};
  const LoopPlan plan = plan_loop(starts[0].shape(), starts);
  Lines lines{starts[0].numel(), length, plan.rank, {}, {}, {}, {}};
  for (int k = 0; k < 3; ++k) {
    lines.data[k] = plan.operands[k].data;
    lines.step[k] = operands[static_cast<std::size_t>(k)].stride(axis);
    for (int i = 0; i < plan.rank; ++i) {
      lines.strides[k][i] = plan.operands[k].strides[plan.rank - 1 - i];
    }
  }
  for (int i = 0; i < plan.rank; ++i) lines.sizes[i] = plan.sizes[plan.rank - 1 - i];
  return lines;
}

template <class T>
__device__ __forceinline__ T* line_of(const Lines& lines, int operand, std::int64_t line) {
  T* data = reinterpret_cast<T*>(lines.data[operand]);
  for (int axis = 0; axis < kMaxRank; ++axis) {
    if (axis >= lines.rank) break;
    const Divided place = divide(line, lines.sizes[axis]);
    data += place.rest * lines.strides[operand][axis];
    line = place.quotient;
  }
  return data;
}

template <class T>
__global__ void __launch_bounds__(kThreads) cumulative_sum_kernel(Lines lines) {
  const std::int64_t line = thread_number();
  if (line >= lines.count) return;
  T* to = line_of<T>(lines, 0, line);
  const T* from = line_of<T>(lines, 1, line);
  double total = 0;  // as on the CPU
  for (std::int64_t i = 0; i < lines.length; ++i) {
    total += static_cast<double>(from[i * lines.step[1]]);
    to[i * lines.step[0]] = static_cast<T>(total);
  }
}

// True if x at place i is chosen before y at place k: NaN before numbers, then the larger number;
// of equal values the first.
template <class T>
TL_HD bool chosen_before(T x, std::int64_t i, T y, std::int64_t k) {
  const bool x_is_nan = x != x, y_is_nan = y != y;
  if (x_is_nan != y_is_nan) return x_is_nan;
  if (!x_is_nan && x != y) return x > y;
  return i < k;
}

// One block for each line. Each thread looks at every blockDim.x-th element; then a tree finds the
// best of all threads.
template <class T>
__global__ void __launch_bounds__(kThreads) argmax_kernel(Lines lines) {
  T* const values = shared_memory<T>();
  auto* const places = reinterpret_cast<std::int64_t*>(values + blockDim.x);
  const std::int64_t line = blockIdx.x;
  const T* from = line_of<T>(lines, 1, line);
  T best = from[0];
  std::int64_t place = 0;
  for (std::int64_t i = threadIdx.x; i < lines.length; i += blockDim.x) {
    const T x = from[i * lines.step[1]];
    if (chosen_before(x, i, best, place)) {
      best = x;
      place = i;
    }
  }
  values[threadIdx.x] = best;
  places[threadIdx.x] = place;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      const T other = values[threadIdx.x + half];
      const std::int64_t there = places[threadIdx.x + half];
      if (chosen_before(other, there, values[threadIdx.x], places[threadIdx.x])) {
        values[threadIdx.x] = other;
        places[threadIdx.x] = there;
      }
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) *line_of<std::int64_t>(lines, 0, line) = places[0];
}

// Adjacent threads are in adjacent lines (`across`), or at adjacent places of one line.
template <class T>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(Lines lines, std::int64_t size, bool across, bool gaps, MistakeIn use,
                  Notes notes) {
  const std::int64_t i = thread_number();
  if (i >= lines.count * lines.length) return;
  const Divided both = divide(i, across ? lines.count : lines.length);
  const std::int64_t line = across ? both.rest : both.quotient;
  const std::int64_t place = across ? both.quotient : both.rest;
  const std::int64_t from = line_of<const std::int64_t>(lines, 2, line)[place * lines.step[2]];
  T value = 0;
  if (!(gaps && from == -1) && in_range(from, size, use, notes)) {
    value = line_of<const T>(lines, 1, line)[from * lines.step[1]];
  }
  line_of<T>(lines, 0, line)[place * lines.step[0]] = value;
}

// Sum is T, or double if many numbers may meet in one place.
template <class Sum, class T>
__global__ void __launch_bounds__(kThreads)
    scatter_add_kernel(Lines lines, std::int64_t size, Notes notes) {
  const std::int64_t line = thread_number();
  if (line >= lines.count) return;
  Sum* to = line_of<Sum>(lines, 0, line);
  const T* from = line_of<const T>(lines, 1, line);
  const auto* index = line_of<const std::int64_t>(lines, 2, line);
  for (std::int64_t i = 0; i < lines.length; ++i) {
    const std::int64_t place = index[i * lines.step[2]];
    if (in_range(place, size, MistakeIn::scatter_add, notes)) {
      to[place * lines.step[0]] += static_cast<Sum>(from[i * lines.step[1]]);
    }
  }
}

// --- rows ---

struct Rows {
  std::int64_t count, width;  // the rows that the index selects
  std::int64_t size;          // the number of rows to select from
  const std::int64_t* index;
  std::int64_t index_stride;
  char* to;
  std::int64_t to_strides[2];
  const char* from;
  std::int64_t from_strides[2];
};

Rows rows_of(const Tensor& to, const Tensor& from, const Tensor& index, std::int64_t size) {
  return {index.numel(),
          to.dim(1),
          size,
          static_cast<const std::int64_t*>(index.raw()),
          index.stride(0),
          static_cast<char*>(to.raw()),
          {to.stride(0), to.stride(1)},
          static_cast<const char*>(from.raw()),
          {from.stride(0), from.stride(1)}};
}

// One block for some columns of one row of the result. It reads the whole index, once for all of
// its columns.
template <class T>
__global__ void __launch_bounds__(kThreads) add_rows_kernel(Rows rows, Notes notes) {
  auto* const numbers = shared_memory<std::int64_t>();
  const Divided block = divide(blockIdx.x, (rows.width + blockDim.x - 1) / blockDim.x);
  const std::int64_t row = block.quotient;
  const std::int64_t column = block.rest * blockDim.x + threadIdx.x;
  const bool mine = column < rows.width;
  T* const to =
      reinterpret_cast<T*>(rows.to) + row * rows.to_strides[0] + column * rows.to_strides[1];
  double sum = mine ? static_cast<double>(*to) : 0;
  for (std::int64_t first = 0; first < rows.count; first += blockDim.x) {
    const std::int64_t own = first + threadIdx.x;
    bool named = false;
    if (own < rows.count) {
      numbers[threadIdx.x] = rows.index[own * rows.index_stride];
      named = numbers[threadIdx.x] == row;
      if (row == 0) in_range(numbers[threadIdx.x], rows.size, MistakeIn::add_rows, notes);
    }
    if (!__syncthreads_or(named)) continue;  // most rows occur rarely in the index
    const std::int64_t left = rows.count - first;
    const std::int64_t count = left < blockDim.x ? left : std::int64_t{blockDim.x};
    for (std::int64_t i = 0; i < count; ++i) {
      if (numbers[i] == row && mine) {
        sum += static_cast<double>(reinterpret_cast<const T*>(
            rows.from)[(first + i) * rows.from_strides[0] + column * rows.from_strides[1]]);
      }
    }
    __syncthreads();
  }
  if (mine) *to = static_cast<T>(sum);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    targets_kernel(std::int64_t* known, T* counted, const std::int64_t* target, std::int64_t count,
                   std::int64_t ignore_index, std::int64_t classes, Notes notes) {
  const std::int64_t i = thread_number();
  if (i >= count) return;
  const std::int64_t given = target[i];
  const bool counts = given != ignore_index && in_range(given, classes, MistakeIn::targets, notes);
  known[i] = counts ? given : 0;
  counted[i] = counts ? T{1} : T{0};
}

}  // namespace

void cumulative_sum(const Tensor& to, const Tensor& from, int axis) {
  if (to.numel() == 0) return;
  const Lines lines = lines_of({to, from, from}, axis, to.dim(axis));
  const Grid grid(lines.count);
  with_float_type(to.dtype(), [&]<class T>(T) {
    launch(cumulative_sum_kernel<T>, grid.blocks, grid.threads, 0, lines);
  });
}

void argmax(const Tensor& to, const Tensor& from) {
  if (to.numel() == 0) return;
  const int axis = from.rank() - 1;
  const Lines lines = lines_of({to.insert_axis(-1), from, from}, axis, from.dim(axis));
  unsigned threads = 32;
  while (threads < kThreads && threads < lines.length) threads *= 2;
  with_any_type(from.dtype(), [&]<class T>(T) {
    launch(argmax_kernel<T>, dim3{static_cast<unsigned>(lines.count)}, dim3{threads},
           threads * (sizeof(T) + sizeof(std::int64_t)), lines);
  });
}

void add_rows(const Tensor& to, const Tensor& index, const Tensor& from) {
  if (to.numel() == 0 || index.numel() == 0) return;
  const Grid columns(to.dim(1));
  with_float_type(to.dtype(), [&]<class T>(T) {
    launch(add_rows_kernel<T>, dim3{static_cast<unsigned>(to.dim(0)) * columns.blocks.x},
           columns.threads, columns.threads.x * sizeof(std::int64_t),
           rows_of(to, from, index, to.dim(0)), gpu().notes);
  });
}

static void gather(const Tensor& to, const Tensor& from, const Tensor& index, int axis, bool gaps,
                   MistakeIn use) {
  if (to.numel() == 0) return;
  const Lines lines = lines_of({to, from, index}, axis, to.dim(axis));
  const Grid grid(to.numel());
  with_any_type(to.dtype(), [&]<class T>(T) {
    launch(gather_kernel<T>, grid.blocks, grid.threads, 0, lines, from.dim(axis),
           axis + 1 < to.rank(), gaps, use, gpu().notes);
  });
}

void gather(const Tensor& to, const Tensor& from, const Tensor& index, int axis) {
  gather(to, from, index, axis, false, MistakeIn::gather);
}

void take_rows(const Tensor& to, const Tensor& from, const Tensor& index, bool gaps) {
  gather(to, from, index.insert_axis(1).expand(to.shape()), 0, gaps, MistakeIn::take_rows);
}

void scatter_add(const Tensor& to, const Tensor& index, const Tensor& from, int axis) {
  if (from.numel() == 0) return;
  const auto add = [&]<class Sum, class T>(const Tensor& sums, Sum, T) {
    const Lines lines = lines_of({sums, from, index}, axis, from.dim(axis));
    const Grid grid(lines.count);
    launch(scatter_add_kernel<Sum, T>, grid.blocks, grid.threads, 0, lines, to.dim(axis),
           gpu().notes);
  };
  constexpr std::int64_t kMostRunning = 4096;  // as on the CPU
  with_float_type(to.dtype(), [&]<class T>(T) {
    if (sizeof(T) == 4 && from.dim(axis) > kMostRunning) {
      const Tensor wide = to.to(DType::float64);
      add(wide, double{}, T{});
      copy(to, wide);
    } else {
      add(to, T{}, T{});
    }
  });
}

void targets(const Tensor& known, const Tensor& counted, const Tensor& target,
             std::int64_t ignore_index, std::int64_t classes) {
  if (target.numel() == 0) return;
  const Grid grid(target.numel());
  with_float_type(counted.dtype(), [&]<class T>(T) {
    launch(targets_kernel<T>, grid.blocks, grid.threads, 0, static_cast<std::int64_t*>(known.raw()),
           static_cast<T*>(counted.raw()), static_cast<const std::int64_t*>(target.raw()),
           target.numel(), ignore_index, classes, gpu().notes);
  });
}

}  // namespace tapeloop::cuda
