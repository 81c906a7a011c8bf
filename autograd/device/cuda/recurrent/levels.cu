// SPDX-License-Identifier: MIT
// The operations of level_loop.h on the GPU: products and pointwise kernels in turn, all enqueued
// without a wait, for every step and every order. A plain batch of sequences may run in one launch
// instead: recurrent/persistent.cu.
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/launch.cuh"
#include "tapeloop/autograd/device/cuda/recurrent/level_kernels.cuh"
#include "tapeloop/autograd/device/cuda/recurrent/sequence.h"
#include "tapeloop/autograd/device/level_loop.h"
#include "tapeloop/autograd/device/schedule_tables.h"

namespace tapeloop::cuda {
namespace {

using detail::LevelProgram;
using detail::LevelRows;

// --- layer norm: a thread for each group of columns of a row ---

template <class T>
struct NormRows {
  KernelRows<T> x, dy, y;  // y: the result, or dx
  KernelRows<T> add;
  const T *scale, *bias;
  T *mean, *factor;  // [count, groups]
  std::int64_t count, groups, width;
  T epsilon;
  bool adds;
};

template <class T>
__device__ void moments(const NormRows<T>& n, std::int64_t i, Divided at) {
  const std::int64_t first = at.rest * n.width;
  T mean = 0, variance = 0;
  for (std::int64_t j = 0; j < n.width; ++j) mean += n.x.at(at.quotient, first + j);
  mean /= static_cast<T>(n.width);
  for (std::int64_t j = 0; j < n.width; ++j) {
    const T d = n.x.at(at.quotient, first + j) - mean;
    variance += d * d;
  }
  n.mean[i] = mean;
  n.factor[i] = T{1} / sqrt(variance / static_cast<T>(n.width) + n.epsilon);
}

template <class T>
__global__ void __launch_bounds__(kThreads) norm_kernel(NormRows<T> n) {
  const std::int64_t i = thread_number();
  if (i >= n.count * n.groups) return;
  const Divided at = divide(i, n.groups);
  moments(n, i, at);
  for (std::int64_t j = at.rest * n.width; j < (at.rest + 1) * n.width; ++j) {
    T y = (n.x.at(at.quotient, j) - n.mean[i]) * n.factor[i];
    if (n.scale != nullptr) y *= n.scale[j];
    if (n.bias != nullptr) y += n.bias[j];
    n.y.at(at.quotient, j) = n.add.data == nullptr ? y : n.add.at(at.quotient, j) + y;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) norm_gradient_kernel(NormRows<T> n) {
  const std::int64_t i = thread_number();
  if (i >= n.count * n.groups) return;
  const Divided at = divide(i, n.groups);
  moments(n, i, at);
  const T mean = n.mean[i], factor = n.factor[i];
  const std::int64_t first = at.rest * n.width, end = first + n.width;
  const auto g = [&](std::int64_t j) {
    return n.scale == nullptr ? n.dy.at(at.quotient, j) : n.dy.at(at.quotient, j) * n.scale[j];
  };
  T sum = 0, product = 0;
  for (std::int64_t j = first; j < end; ++j) {
    sum += g(j);
    product += g(j) * ((n.x.at(at.quotient, j) - mean) * factor);
  }
  for (std::int64_t j = first; n.y.data != nullptr && j < end; ++j) {
    const T x = (n.x.at(at.quotient, j) - mean) * factor;
    const T dx = factor * (g(j) - (sum + x * product) / static_cast<T>(n.width));
    T& to = n.y.at(at.quotient, j);
    to = n.adds ? to + dx : dx;
  }
}

// dscale += sum of dy x^, dbias += sum of dy.
template <class T>
__global__ void __launch_bounds__(kThreads) norm_sums_kernel(NormRows<T> n, T* dscale, T* dbias) {
  sum_rows<T, 2>(
      n.count, n.groups * n.width,
      [&](T* sums, std::int64_t i, std::int64_t j) {
        const std::int64_t at = i * n.groups + divide(j, n.width).quotient;
        sums[0] += n.dy.at(i, j) * ((n.x.at(i, j) - n.mean[at]) * n.factor[at]);
        sums[1] += n.dy.at(i, j);
      },
      [&](const T* sums, std::int64_t j) {
        if (dscale != nullptr) dscale[j] += sums[0];
        if (dbias != nullptr) dbias[j] += sums[1];
      });
}

// The operations of level_loop.h. The GPU is a single member: it owns all units and does not wait.
template <class T>
class WholeGpu {
 public:
  explicit WholeGpu(const LevelRun& run) : run_(run), tables_(*run.schedule, Device::cuda) {}

  int members() const { return 1; }
  void wait() {}
  std::pair<std::int64_t, std::int64_t> own_units(std::int64_t units) const { return {0, units}; }

  void product(int weight, std::int64_t count, LevelRows<T> x, std::int64_t x_size,
               LevelRows<T> start, LevelRows<T> y, std::int64_t size, std::int64_t, int groups) {
    begin(y, start, count, size);
    const std::int64_t group = x_size / groups, rows = groups == 1 ? size : group;
    for (std::int64_t first = 0; first < size; first += rows) {
      const Tensor w = weight_of(weight).slice(0, first, first + rows);
      const std::int64_t from = groups == 1 ? 0 : first % x_size;
      multiply_rows(y.data + first, y.stride, x.data + from, x.stride, count, w.transpose(0, 1),
                    start.data != nullptr);
    }
  }
  void product_gradient(int weight, std::int64_t count, LevelRows<T> dy, std::int64_t dy_size,
                        LevelRows<T> start, LevelRows<T> dx, std::int64_t size, int groups) {
    begin(dx, start, count, size);
    const std::int64_t group = size / groups, rows = groups == 1 ? dy_size : group;
    for (std::int64_t first = 0; first < dy_size; first += rows) {
      const Tensor w = weight_of(weight).slice(0, first, first + rows);
      const std::int64_t to = groups == 1 ? 0 : first % size;
      multiply_rows(dx.data + to, dx.stride, dy.data + first, dy.stride, count, w,
                    start.data != nullptr || first >= size);
    }
  }

  void formula(const PointwiseKernel& kernel, const void* functor, const LoopPlan& plan) {
    find_pointwise(kernel, dtype())(functor, plan, nullptr);
  }

  void add(LevelRows<T> to, LevelRows<T> from, std::int64_t count, std::int64_t size,
           std::int64_t) {
    set(rows(to), rows(from), count, size, true);
  }
  void zero(LevelRows<T> to, std::int64_t count, std::int64_t size, std::int64_t) {
    set(rows(to), {}, count, size, false);
  }
  void add_rows(T* to, LevelRows<T> from, std::int64_t count, std::int64_t units) {
    const SumGrid grid(units);
    launch(sum_kernel<T>, grid.blocks, grid.threads, kThreads * sizeof(T), to, rows(from), count,
           units);
  }
  void sum(T* to, LevelRows<T> from, std::int64_t count, std::int64_t size, std::int64_t) {
    add_rows(to, from, count, size);
  }
  void take(LevelRows<T> to, LevelRows<T> from, const std::int64_t* list, std::int64_t count,
            std::int64_t size) {
    set(rows(to), rows(from, list), count, size, false);
  }
  void give(LevelRows<T> to, const std::int64_t* list, LevelRows<T> from, std::int64_t count,
            std::int64_t size) {
    const Shares shares = Shares::of(count, size);
    const Grid grid = shares.grid();
    launch(give_kernel<T>, grid.blocks, grid.threads, 0, rows(to, list), rows(from), count, shares);
  }

  void edge_sum(LevelRows<T> to, LevelRows<T> start, LevelRows<T> from, const std::int64_t* list,
                const std::int64_t* begins, std::int64_t nodes, std::int64_t size, std::int64_t,
                bool mean) {
    const Grid grid(nodes * size);
    launch(edge_sum_kernel<T>, grid.blocks, grid.threads, 0, rows(to), rows(start),
           rows(from, list), tables_.address(begins), nodes, size, mean);
  }
  void spread(LevelRows<T> to, const std::int64_t* list, LevelRows<T> from,
              const std::int64_t* begins, std::int64_t nodes, std::int64_t size, std::int64_t,
              bool mean, bool adds) {
    const std::int64_t* const edges = tables_.address(begins);
    if (adds && list != nullptr) {
      const Shares shares = Shares::of(begins[nodes] - begins[0], size);
      const Grid grid = shares.grid();
      launch(spread_in_order_kernel<T>, grid.blocks, grid.threads, 0, rows(to, list), rows(from),
             edges, nodes, shares, mean);
    } else {
      const Grid grid(nodes * size);
      launch(spread_kernel<T>, grid.blocks, grid.threads, 0, rows(to, list), rows(from), edges,
             nodes, size, mean, adds);
    }
  }

  void layer_norm(int groups, double epsilon, LevelRows<T> x, const T* scale, const T* bias,
                  LevelRows<T> add, LevelRows<T> y, std::int64_t count, std::int64_t size,
                  std::int64_t) {
    const Scratch memory(norm_bytes(count, groups));
    NormRows<T> n = norm(memory, groups, epsilon, x, scale, count, size);
    n.bias = bias;
    n.add = rows(add);
    n.y = rows(y);
    const Grid grid(count * groups);
    launch(norm_kernel<T>, grid.blocks, grid.threads, 0, n);
  }
  void layer_norm_gradient(int groups, double epsilon, LevelRows<T> x, const T* scale,
                           LevelRows<T> dy, LevelRows<T> dx, bool adds, T* dscale, T* dbias,
                           std::int64_t count, std::int64_t size, std::int64_t) {
    const Scratch memory(norm_bytes(count, groups));
    NormRows<T> n = norm(memory, groups, epsilon, x, scale, count, size);
    n.dy = rows(dy);
    n.y = rows(dx);
    n.adds = adds;
    const Grid grid(count * groups);
    launch(norm_gradient_kernel<T>, grid.blocks, grid.threads, 0, n);
    const SumGrid sums(size);
    launch(norm_sums_kernel<T>, sums.blocks, sums.threads, 2 * kThreads * sizeof(T), n, dscale,
           dbias);
  }

 private:
  static DType dtype() { return sizeof(T) == 4 ? DType::float32 : DType::float64; }
  const Tensor& weight_of(int i) const { return run_.weights[static_cast<std::size_t>(i)]; }
  static KernelRows<T> rows(LevelRows<T> x) { return {x.data, x.stride, nullptr}; }
  KernelRows<T> rows(LevelRows<T> x, const std::int64_t* list) const {
    return {x.data, x.stride, tables_.address(list)};
  }
  static void set(KernelRows<T> to, KernelRows<T> from, std::int64_t count, std::int64_t size,
                  bool add) {
    const Grid grid(count * size);
    launch(set_kernel<T>, grid.blocks, grid.threads, 0, to, from, count, size, add);
  }
  // Copies `start`, to which a product is added, to the place of the result.
  void begin(LevelRows<T> y, LevelRows<T> start, std::int64_t count, std::int64_t size) {
    if (start.data != nullptr && start.data != y.data) {
      set(rows(y), rows(start), count, size, false);
    }
  }
  static std::size_t norm_bytes(std::int64_t count, int groups) {
    return static_cast<std::size_t>(2 * count * groups) * sizeof(T);
  }
  static NormRows<T> norm(const Scratch& memory, int groups, double epsilon, LevelRows<T> x,
                          const T* scale, std::int64_t count, std::int64_t size) {
    NormRows<T> n{};
    n.x = rows(x);
    n.scale = scale;
    n.mean = memory.as<T>();
    n.factor = n.mean + count * groups;
    n.count = count;
    n.groups = groups;
    n.width = size / groups;
    n.epsilon = static_cast<T>(epsilon);
    return n;
  }

  const LevelRun& run_;
  const detail::ScheduleTables tables_;
};

}  // namespace

void run_levels(const LevelForward& run) {
  const auto plain = plain_sequence(run);
  if (!plain) decline_persistent(*run.layout, true);
  if (plain && persistent_forward(*plain)) {
    // The kernel leaves the last state in block 1.
    for (const Tensor& states : run.states) {
      if (states.rank() == 3 && run.schedule->levels() % 2 == 0) {
        copy(states.select(0, 0), states.select(0, 1));
      }
    }
    return;
  }
  const LevelProgram program(run);
  with_float_type(program.dtype(), [&]<class T>(T) {
    WholeGpu<T> gpu(run);
    detail::LevelLoop<T, WholeGpu<T>>(program, gpu).forward();
  });
}

void run_levels(const LevelBackward& run) {
  const auto plain = plain_sequence(run);
  if (!plain) decline_persistent(*run.layout, false);
  if (plain && persistent_backward(*plain)) {
    for (const Tensor& d : run.dstates) {
      if (run.schedule->levels() % 2 == 1) copy(d.select(0, 0), d.select(0, 1));
    }
    return;
  }
  const LevelProgram program(run);
  with_float_type(program.dtype(), [&]<class T>(T) {
    WholeGpu<T> gpu(run);
    detail::LevelLoop<T, WholeGpu<T>>(program, gpu).backward(run.upstream);
  });
}

}  // namespace tapeloop::cuda
