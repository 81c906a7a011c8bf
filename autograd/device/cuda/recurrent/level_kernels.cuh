// SPDX-License-Identifier: MIT
// Kernels of levels.cu that move and add rows: of nodes, of states by a table, of edges.
#pragma once

#include "tapeloop/autograd/device/cuda/launch.cuh"

namespace tapeloop::cuda {

// Rows of a kernel: row i is at data + (rows == null ? i : rows[i]) * stride.
template <class T>
struct KernelRows {
  T* data;
  std::int64_t stride;
  const std::int64_t* rows;

  TL_HD T& at(std::int64_t i, std::int64_t column) const {
    return data[(rows == nullptr ? i : rows[i]) * stride + column];
  }
};

// to = from, or += from. from.data null: zeros.
template <class T>
__global__ void __launch_bounds__(kThreads)
    set_kernel(KernelRows<T> to, KernelRows<T> from, std::int64_t count, std::int64_t size,
               bool add) {
  const std::int64_t i = thread_number();
  if (i >= count * size) return;
  const Divided row = divide(i, size);
  const T x = from.data == nullptr ? T{0} : from.at(row.quotient, row.rest);
  T& y = to.at(row.quotient, row.rest);
  y = add ? y + x : x;
}

// to[rows[i]] += from[i] in order: a thread for each column.
template <class T>
__global__ void __launch_bounds__(kThreads)
    give_kernel(KernelRows<T> to, KernelRows<T> from, std::int64_t count, std::int64_t size) {
  const std::int64_t column = thread_number();
  if (column >= size) return;
  for (std::int64_t i = 0; i < count; ++i) to.at(i, column) += from.at(i, column);
}

// to += the sum of all rows.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_kernel(T* to, KernelRows<T> from, std::int64_t count, std::int64_t size) {
  const std::int64_t column = thread_number();
  if (column >= size) return;
  T sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += from.at(i, column);
  to[column] += sum;
}

// --- edges: those of node n are begins[n] .. begins[n + 1] - 1, counted from begins[0] ---

// to[n] = start[n] + the sum or mean of from over the edges of node n. start.data null: zeros.
template <class T>
__global__ void __launch_bounds__(kThreads)
    edge_sum_kernel(KernelRows<T> to, KernelRows<T> start, KernelRows<T> from,
                    const std::int64_t* begins, std::int64_t nodes, std::int64_t size, bool mean) {
  const std::int64_t i = thread_number();
  if (i >= nodes * size) return;
  const Divided at = divide(i, size);
  const std::int64_t n = at.quotient, edges = begins[n + 1] - begins[n];
  const T factor = mean ? T{1} / static_cast<T>(edges) : T{1};
  T sum = start.data == nullptr ? T{0} : start.at(n, at.rest);
  for (std::int64_t e = begins[n] - begins[0]; e < begins[n] - begins[0] + edges; ++e) {
    sum += factor * from.at(e, at.rest);
  }
  to.at(n, at.rest) = sum;
}

// The other way, to the edges e of node n: to[e] = from[n], or += if `adds`. Where a table names a
// row of `to` several times, a thread for each column adds in order.
template <class T>
__device__ void spread_to_edges(KernelRows<T> to, KernelRows<T> from, const std::int64_t* begins,
                                std::int64_t n, std::int64_t column, bool mean, bool adds) {
  const std::int64_t edges = begins[n + 1] - begins[n];
  const T x = from.at(n, column) * (mean ? T{1} / static_cast<T>(edges) : T{1});
  for (std::int64_t e = begins[n] - begins[0]; e < begins[n] - begins[0] + edges; ++e) {
    T& y = to.at(e, column);
    y = adds ? y + x : x;
  }
}
template <class T>
__global__ void __launch_bounds__(kThreads)
    spread_kernel(KernelRows<T> to, KernelRows<T> from, const std::int64_t* begins,
                  std::int64_t nodes, std::int64_t size, bool mean, bool adds) {
  const std::int64_t i = thread_number();
  if (i >= nodes * size) return;
  const Divided at = divide(i, size);
  spread_to_edges(to, from, begins, at.quotient, at.rest, mean, adds);
}
template <class T>
__global__ void __launch_bounds__(kThreads)
    spread_in_order_kernel(KernelRows<T> to, KernelRows<T> from, const std::int64_t* begins,
                           std::int64_t nodes, std::int64_t size, bool mean) {
  const std::int64_t column = thread_number();
  if (column >= size) return;
  for (std::int64_t n = 0; n < nodes; ++n) {
    spread_to_edges(to, from, begins, n, column, mean, true);
  }
}

}  // namespace tapeloop::cuda
