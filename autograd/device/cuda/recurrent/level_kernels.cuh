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

// Where a table may name a row of `to` several times, each row is added to in order: the rows are
// divided into shares, and thread (share, column) reads the whole table and adds to the rows of its
// share. The number of shares is a power of 2.
struct Shares {
  std::int64_t columns, shares;

  static Shares of(std::int64_t count, std::int64_t columns) {
    constexpr std::int64_t kLeastRows = 16, kMostShares = 256;  // of a share; of a launch
    std::int64_t shares = 1;
    while (2 * shares <= kMostShares && 2 * shares * kLeastRows <= count) shares *= 2;
    return {columns, shares};
  }
  Grid grid() const { return Grid(columns * shares); }
};
struct Share {
  std::int64_t column, number, mask;
  bool exists;

  TL_HD bool has(std::int64_t row) const { return (row & mask) == number; }
};
__device__ __forceinline__ Share own_share(const Shares& all) {
  const std::int64_t i = thread_number();
  const Divided at = divide(i, all.columns);
  return {at.rest, at.quotient, all.shares - 1, i < all.columns * all.shares};
}

// to[rows[i]] += from[i] in order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    give_kernel(KernelRows<T> to, KernelRows<T> from, std::int64_t count, Shares shares) {
  const Share own = own_share(shares);
  if (!own.exists) return;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = to.rows[i];
    if (own.has(row)) to.data[row * to.stride + own.column] += from.at(i, own.column);
  }
}

// Sums over rows: a block has kWarp columns. Warp w adds up every kSumWarps-th row, and then the
// first warp adds up the sums of the warps in order.
constexpr std::int64_t kSumWarps = kThreads / kWarp;
struct SumGrid {
  dim3 blocks, threads{static_cast<unsigned>(kThreads)};
  explicit SumGrid(std::int64_t columns) {
    blocks.x = static_cast<unsigned>((columns + kWarp - 1) / kWarp);
  }
};
// Calls add(sums, row, column) for each row of this thread's column, and then store(sums, column)
// in one thread for each column.
template <class T, int kSums, class Add, class Store>
__device__ __forceinline__ void sum_rows(std::int64_t count, std::int64_t columns, Add add,
                                         Store store) {
  struct Sums {
    T at[kSums];
  };
  Sums* const parts = shared_memory<Sums>();
  const std::int64_t warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const std::int64_t column = blockIdx.x * kWarp + lane;
  Sums own{};
  if (column < columns) {
    for (std::int64_t row = warp; row < count; row += kSumWarps) add(own.at, row, column);
  }
  parts[threadIdx.x] = own;
  __syncthreads();
  if (warp != 0 || column >= columns) return;
  for (std::int64_t w = 1; w < kSumWarps; ++w) {
    for (int k = 0; k < kSums; ++k) own.at[k] += parts[w * kWarp + lane].at[k];
  }
  store(own.at, column);
}

// to += the sum of all rows.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_kernel(T* to, KernelRows<T> from, std::int64_t count, std::int64_t size) {
  sum_rows<T, 1>(
      count, size,
      [&](T* sum, std::int64_t row, std::int64_t column) { *sum += from.at(row, column); },
      [&](const T* sum, std::int64_t column) { to[column] += *sum; });
}

// --- edges: those of node n are begins[n] .. begins[n + 1] - 1, counted from begins[0] ---

template <class T>
TL_HD T edge_factor(const std::int64_t* begins, std::int64_t n, bool mean) {
  return mean ? T{1} / static_cast<T>(begins[n + 1] - begins[n]) : T{1};
}

// to[n] = start[n] + the sum or mean of from over the edges of node n. start.data null: zeros.
template <class T>
__global__ void __launch_bounds__(kThreads)
    edge_sum_kernel(KernelRows<T> to, KernelRows<T> start, KernelRows<T> from,
                    const std::int64_t* begins, std::int64_t nodes, std::int64_t size, bool mean) {
  const std::int64_t i = thread_number();
  if (i >= nodes * size) return;
  const auto [n, column] = divide(i, size);
  const T factor = edge_factor<T>(begins, n, mean);
  T sum = start.data == nullptr ? T{0} : start.at(n, column);
  for (std::int64_t e = begins[n] - begins[0]; e < begins[n + 1] - begins[0]; ++e) {
    sum += factor * from.at(e, column);
  }
  to.at(n, column) = sum;
}

// The other way, to the edges e of node n: to[e] = from[n], or += if `adds`.
template <class T>
__global__ void __launch_bounds__(kThreads)
    spread_kernel(KernelRows<T> to, KernelRows<T> from, const std::int64_t* begins,
                  std::int64_t nodes, std::int64_t size, bool mean, bool adds) {
  const std::int64_t i = thread_number();
  if (i >= nodes * size) return;
  const auto [n, column] = divide(i, size);
  const T x = from.at(n, column) * edge_factor<T>(begins, n, mean);
  for (std::int64_t e = begins[n] - begins[0]; e < begins[n + 1] - begins[0]; ++e) {
    T& y = to.at(e, column);
    y = adds ? y + x : x;
  }
}
// The same where the table of `to` may name a row several times.
template <class T>
__global__ void __launch_bounds__(kThreads)
    spread_in_order_kernel(KernelRows<T> to, KernelRows<T> from, const std::int64_t* begins,
                           std::int64_t nodes, Shares shares, bool mean) {
  const Share own = own_share(shares);
  if (!own.exists) return;
  for (std::int64_t n = 0; n < nodes; ++n) {
    for (std::int64_t e = begins[n] - begins[0]; e < begins[n + 1] - begins[0]; ++e) {
      const std::int64_t row = to.rows[e];
      if (!own.has(row)) continue;
      to.data[row * to.stride + own.column] +=
          from.at(n, own.column) * edge_factor<T>(begins, n, mean);
    }
  }
}

}  // namespace tapeloop::cuda
