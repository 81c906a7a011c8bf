// SPDX-License-Identifier: MIT
// The choice of the form of recurrent() on a GPU, and the division of the work in a persistent
// kernel: a function of shapes and of the device's limits. Knows neither tensors nor CUDA.
//   H hidden units, G gates, N rows of the batch.
//   Forward: z [N, G*H] = h [N, H] W^T.    Backward: dh [N, H] = dz [N, G*H] W.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tapeloop/autograd/device/cuda/cuda.h"

namespace tapeloop::cuda {

constexpr int kWarps = 8;           // in a block of a persistent kernel
constexpr int kChunkBytes = 16;     // one load of a thread, along the inner axis
constexpr int kStageChunks = 256;   // chunks that a warp copies while it multiplies as many
constexpr int kPartialPadding = 8;  // elements between rows of partial sums, against bank conflicts
constexpr std::int64_t kPortable = 8;  // most blocks of a cluster on every device with clusters

// The outputs that a warp calculates at once. `lanes` of its threads lie along the output's
// columns, the others along rows of the batch. A thread has columns x rows sums, and uses each
// loaded value for several of them.
struct Tile {
  int lanes, columns, rows;
  constexpr int width() const { return lanes * columns; }     // output columns
  constexpr int height() const { return 32 / lanes * rows; }  // rows of the batch
  constexpr bool fits(std::int64_t bytes) const {             // in registers, without spills
    return columns * rows * bytes <= 256;
  }
};
constexpr Tile kTiles[] = {{32, 1, 1}, {8, 1, 1}, {32, 1, 4}, {8, 2, 2},
                           {4, 4, 2},  {8, 4, 4}, {1, 8, 2},  {4, 8, 8}};
constexpr int kTileCount = static_cast<int>(sizeof(kTiles) / sizeof(kTiles[0]));

struct DeviceLimits {
  std::int64_t multiprocessors;
  std::int64_t shared_bytes;  // the most that one block may use, by opt-in
  bool clusters;              // compute capability 9.0 and above
};

struct RecurrentShape {
  std::int64_t hidden, gates, batch;
  // Operands of the formula that are kept in shared memory, for each hidden unit and row.
  std::int64_t operands;
  std::int64_t bytes;  // of an element, 4 or 8
  bool backward;

  std::int64_t inner() const { return backward ? hidden * gates : hidden; }
  std::int64_t columns_per_unit() const { return backward ? 1 : gates; }
  std::int64_t inner_per_unit() const { return backward ? gates : 1; }
  std::int64_t per_chunk() const { return kChunkBytes / bytes; }
  std::int64_t chunks() const { return (inner() + per_chunk() - 1) / per_chunk(); }
};

// The division in the persistent forms: block (slice, group) has `units` hidden units with all of
// their gates, and `rows` rows of the batch.
struct RecurrentPlan {
  RecurrentForm form = RecurrentForm::alternating;
  int tile = 0;             // index in kTiles
  std::int64_t units = 0;   // per block
  std::int64_t slices = 0;  // blocks that share a group of rows and exchange h
  std::int64_t rows = 0;    // per group
  std::int64_t groups = 0;
  std::int64_t row_step = 0;      // rows from one chunk of the exchange to the next
  std::int64_t tile_width = 0;    // columns
  std::int64_t column_tiles = 0;  // in a block; the other warps split the inner axis
  std::int64_t splits = 0;        // parts of the inner axis
  std::int64_t partial_row = 0;   // elements from one row of a warp's sums to the next
  // Shared memory of each warp: first for operands that are being copied, then for partial sums.
  std::int64_t work_bytes = 0;
  std::int64_t shared_bytes = 0;  // of a block
  double cycles = 0;              // of a time step, estimated
};

// The form with the best estimate among those that fit. If `wanted` is not automatic: the best
// division of that form, or alternating if the form does not fit. Cost: tries some thousand
// divisions.
RecurrentPlan plan_recurrent(const RecurrentShape& shape, const DeviceLimits& limits,
                             RecurrentForm wanted);

}  // namespace tapeloop::cuda
