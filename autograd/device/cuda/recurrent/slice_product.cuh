// SPDX-License-Identifier: MIT
// One block's part of a recurrent product: columns of weights in shared memory, times rows of h or
// dz, which are copied from L2 in stages. Full float32, each sum in a fixed order; no tensor cores.
#pragma once

#include "tapeloop/autograd/device/cuda/recurrent/persistent.h"
#include "tapeloop/autograd/device/cuda/recurrent/resident.cuh"
#include "tapeloop/autograd/number/vec.h"

namespace tapeloop::cuda {

// The part of one warp. Shared memory begins with the weights, [chunks][columns]. Other places in
// it are counted in chunks from its start: the compiler would not know that a pointer points to
// shared memory.
struct SliceProduct {
  const Chunk* from;  // rows [chunks][row_count] in global memory
  int columns, row_count;
  int first_column;     // of this warp's tile
  int first, last;      // chunks that this warp adds up
  int stages;           // the same number for all warps
  int stage_chunks;     // that this warp adds up in a stage
  int stage;            // place of the rows of its first stage
  int stage_step;       // from one stage to the next
  int member, members;  // this thread among those that copy these rows
  int column_bits, row_bits;
  // For the sums of this warp, [lanes of the inner axis][row_count][columns]; counted in floats.
  int sums;
};

// Calculates a warp's tile of sums. A thread loads columns + rows chunks for columns * rows FMAs on
// each element of a chunk. A warp's 16-byte loads take half as long if neighbours n and n^1, or n
// and n^2, read one address. So the lowest bit of the lane is along rows, the next along columns.
// Not inlined, so that the formula does not take registers from it.
template <int kColumns, int kRows>
__device__ __noinline__ void multiply_slice(const SliceProduct p) {
  // Chunks that a thread loads ahead, so that loads overlap.
  [[maybe_unused]] constexpr int kAhead = kColumns * kRows >= 64 ? 1 : 2;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int low = p.row_bits > 0 ? 1 : 0;
  const int high_rows = p.row_bits - low;
  const int lane_column = lane >> low & ((1 << p.column_bits) - 1);
  const int above = lane >> (low + p.column_bits);
  const int lane_row = (lane & low) | (above & ((1 << high_rows) - 1)) << low;
  const int inner = above >> high_rows, inner_bits = 5 - p.column_bits - p.row_bits;
  // Beyond the last column or row, a thread repeats the last one. Those sums are not read.
  int column_at[kColumns], row_at[kRows];
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    const int column = p.first_column + (i << p.column_bits) + lane_column;
    column_at[i] = column < p.columns ? column : p.columns - 1;
  }
#pragma unroll
  for (int j = 0; j < kRows; ++j) {
    const int row = (j << p.row_bits) + lane_row;
    row_at[j] = row < p.row_count ? row : p.row_count - 1;
  }
  float sum[kColumns][kRows] = {};
  Chunk* const shared = shared_memory<Chunk>();
  const auto count_of = [&](int stage) {
    const int left = p.last - p.first - stage * p.stage_chunks;
    return left < p.stage_chunks ? left : p.stage_chunks;
  };
  const auto place_of = [&](int stage) { return p.stage + stage % kStages * p.stage_step; };
  const auto fetch = [&](int stage) {
    const Chunk* const from = p.from + (p.first + stage * p.stage_chunks) * p.row_count;
    Chunk* const to = shared + place_of(stage);
    const int count = count_of(stage) * p.row_count;  // negative after the last stage
    for (int i = p.member; i < count; i += p.members) copy_async<kChunkBytes>(to + i, from + i);
    end_batch();
  };
#pragma unroll 1
  for (int stage = 0; stage < kStages - 1; ++stage) fetch(stage);
#pragma unroll 1
  for (int stage = 0; stage < p.stages; ++stage) {
    wait_for_batches<kStages - 2>();
    if (p.members == 32) {
      __syncwarp();
    } else {
      __syncthreads();
    }
    fetch(stage + kStages - 1);  // into the place that all have left
    const int count = (count_of(stage) - inner + (1 << inner_bits) - 1) >> inner_bits;
    const Chunk* weights = shared + (p.first + stage * p.stage_chunks + inner) * p.columns;
    const Chunk* rows = shared + place_of(stage) + inner * p.row_count;
#pragma unroll kAhead
    for (int chunk = 0; chunk < count; ++chunk) {
      Chunk a[kColumns], b[kRows];
#pragma unroll
      for (int i = 0; i < kColumns; ++i) a[i] = weights[column_at[i]];
#pragma unroll
      for (int j = 0; j < kRows; ++j) b[j] = rows[row_at[j]];
#pragma unroll
      for (int v = 0; v < kChunkSize; ++v) {
#pragma unroll
        for (int i = 0; i < kColumns; ++i) {
#pragma unroll
          for (int j = 0; j < kRows; ++j) sum[i][j] = fma(a[i].at[v], b[j].at[v], sum[i][j]);
        }
      }
      weights += p.columns << inner_bits;
      rows += p.row_count << inner_bits;
    }
  }
  wait_for_batches<0>();
  __syncthreads();  // sums take the place of the stages
  if (p.first_column >= p.columns) return;
  float* const sums = reinterpret_cast<float*>(shared) + p.sums + inner * p.row_count * p.columns;
#pragma unroll
  for (int j = 0; j < kRows; ++j) {
    const int row = (j << p.row_bits) + lane_row;
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const int column = p.first_column + (i << p.column_bits) + lane_column;
      if (row < p.row_count && column < p.columns) sums[row * p.columns + column] = sum[i][j];
    }
  }
}

template <int kTile = 0>
__device__ __forceinline__ void multiply_slice(int tile, const SliceProduct& p) {
  if (tile == kTile) {
    multiply_slice<kTiles[kTile].columns, kTiles[kTile].rows>(p);
  } else if constexpr (kTile < 2) {
    multiply_slice<kTile + 1>(tile, p);
  }
}

}  // namespace tapeloop::cuda
