// SPDX-License-Identifier: MIT
// One block's part of a recurrent product: columns of weights in shared memory, times rows of h or
// dz. The rows are copied from L2 in stages, or are in shared memory too. Full float32 or float64,
// each sum in a fixed order; no tensor cores.
#pragma once

#include "tapeloop/autograd/device/cuda/recurrent/recurrent_plan.h"
#include "tapeloop/autograd/device/cuda/recurrent/resident.cuh"
#include "tapeloop/autograd/number/vec.h"

namespace tapeloop::cuda {

// 16 bytes along the inner axis. A matrix is stored as [chunks][columns or rows]: adjacent threads
// read adjacent chunks, so 8 threads read each of the 32 banks once.
template <class T>
struct alignas(kChunkBytes) Chunk {
  static constexpr int size = kChunkBytes / static_cast<int>(sizeof(T));
  T at[size];
};

// Shared memory begins with the weights, [chunks][columns]. Other places in it are counted in
// chunks from its start: the compiler would not know that a pointer points to shared memory.
template <class T>
struct SliceProduct {
  // Rows [chunks][row_count] in global memory. Null: the rows are in shared memory, at `rows`.
  const Chunk<T>* staged;
  int rows;
  // Memory of this warp: two stages of rows; at the end, partial sums [row_count][partial_row].
  int work;
  int columns, row_count;
  // Distance between adjacent chunks of the inner axis; row_count if the rows are staged.
  int row_step;
  int first_column;  // of this warp's tile
  int first, last;   // chunks that this warp adds up
  int partial_row;
};

// Calculates a warp's tile of sums. Shared memory limits it: a thread loads columns + rows chunks
// for columns * rows FMAs on each element of a chunk. Large tiles run near the FMA peak; tiles for
// few rows run at the speed at which weights are read. Not inlined, so that the formula does not
// take registers from it.
template <class T, int kLanes, int kColumns, int kRows>
__device__ __noinline__ void multiply_slice(const SliceProduct<T> p) {
  constexpr int kAcross = 32 / kLanes;  // threads along the rows
  constexpr int kSums = kColumns * kRows;
  // In chunks, so that loads overlap.
  [[maybe_unused]] constexpr int kAhead = kSums >= 32 ? 1 : kSums >= 8 ? 2 : 4;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int lane_column = lane % kLanes, lane_row = lane / kLanes;
  // Beyond the last column or row, a thread repeats the last one. Those sums are not read.
  int column_at[kColumns], row_at[kRows];
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    const int column = p.first_column + i * kLanes + lane_column;
    column_at[i] = column < p.columns ? column : p.columns - 1;
  }
#pragma unroll
  for (int j = 0; j < kRows; ++j) {
    const int row = j * kAcross + lane_row;
    row_at[j] = row < p.row_count ? row : p.row_count - 1;
  }
  T sum[kColumns][kRows] = {};
  // While a stage is multiplied, the next one is copied. Rows in shared memory are a single stage
  // that is already there.
  const int at_once = p.staged != nullptr ? kStageChunks / p.row_count : p.last - p.first;
  const auto fetch = [&](int from, Chunk<T>* to) {
    const int end = from + at_once < p.last ? from + at_once : p.last;
    for (int i = lane; i < (end - from) * p.row_count; i += 32) {
      copy_async<kChunkBytes>(to + i, p.staged + from * p.row_count + i);
    }
    end_batch();  // empty after the last stage
  };
  Chunk<T>* const shared = shared_memory<Chunk<T>>();
  const Chunk<T>* now = shared + p.rows + p.first * p.row_step;
  Chunk<T>* stage = shared + p.work;
  Chunk<T>* next = stage + kStageChunks;
  if (p.staged != nullptr) fetch(p.first, stage);
#pragma unroll 1
  for (int from = p.first; from < p.last; from += at_once) {
    if (p.staged != nullptr) {
      fetch(from + at_once, next);
      wait_for_batches<1>();
      __syncwarp();
      now = stage;
    }
    const Chunk<T>* weights = shared + from * p.columns;
    const Chunk<T>* const end =
        weights + (from + at_once < p.last ? at_once : p.last - from) * p.columns;
#pragma unroll kAhead
    for (; weights != end; weights += p.columns, now += p.row_step) {
      Chunk<T> a[kColumns], b[kRows];
#pragma unroll
      for (int i = 0; i < kColumns; ++i) a[i] = weights[column_at[i]];
#pragma unroll
      for (int j = 0; j < kRows; ++j) b[j] = now[row_at[j]];
#pragma unroll
      for (int v = 0; v < Chunk<T>::size; ++v) {
#pragma unroll
        for (int i = 0; i < kColumns; ++i) {
#pragma unroll
          for (int j = 0; j < kRows; ++j) sum[i][j] = fma(a[i].at[v], b[j].at[v], sum[i][j]);
        }
      }
    }
    if (p.staged != nullptr) {
      __syncwarp();
      Chunk<T>* const done = stage;
      stage = next;
      next = done;
    }
  }
  if (p.staged != nullptr) wait_for_batches<0>();
  T* const partial = reinterpret_cast<T*>(shared + p.work);
#pragma unroll
  for (int j = 0; j < kRows; ++j) {
    const int row = j * kAcross + lane_row;
    if (row >= p.row_count) continue;
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      partial[row * p.partial_row + i * kLanes + lane_column] = sum[i][j];
    }
  }
}

template <class T, int kTile = 0>
__device__ __forceinline__ void multiply_slice(int tile, const SliceProduct<T>& p) {
  constexpr Tile kThis = kTiles[kTile];
  if (tile == kTile) {
    if constexpr (kThis.fits(sizeof(T))) {
      multiply_slice<T, kThis.lanes, kThis.columns, kThis.rows>(p);
    }
  } else if constexpr (kTile + 1 < kTileCount) {
    multiply_slice<T, kTile + 1>(tile, p);
  }
}

}  // namespace tapeloop::cuda
