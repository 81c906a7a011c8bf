// SPDX-License-Identifier: MIT
// Which form recurrent() takes on a GPU, and how a persistent kernel divides the work: a function of shapes and of the
// device's limits. Knows neither tensors nor CUDA.
//   H hidden units, G gates, N rows of the batch. Forward: z [N, G*H] = h [N, H] W^T; backward: dh [N, H] = dz [N, G*H] W.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tapeloop/autograd/device/cuda/cuda.h"

namespace tapeloop::cuda {

constexpr int kWarps = 8;           // of a block of a persistent kernel
constexpr int kChunkBytes = 16;     // what one load of a thread takes, along the inner axis
constexpr int kStageChunks = 256;   // a warp copies that many chunks while it multiplies as many
constexpr int kPartialPadding = 8;  // elements between rows of partial sums, against bank conflicts
constexpr std::int64_t kPortable = 8;  // blocks of a cluster, on every device that has clusters

// What a warp multiplies at once: `lanes` of its threads lie along the output's columns, the others along rows of the batch,
// and a thread has columns x rows sums. What is loaded for a sum is shared by as many.
struct Tile {
  int lanes, columns, rows;
  constexpr int width() const { return lanes * columns; }     // output columns
  constexpr int height() const { return 32 / lanes * rows; }  // rows of the batch
  constexpr bool fits(std::int64_t bytes) const {  // sums and operands in registers, without spills
    return columns * rows * bytes <= 256;
  }
};
constexpr Tile kTiles[] = {{32, 1, 1}, {8, 1, 1}, {32, 1, 4}, {8, 2, 2},
                           {4, 4, 2},  {8, 4, 4}, {1, 8, 2},  {4, 8, 8}};
constexpr int kTileCount = static_cast<int>(sizeof(kTiles) / sizeof(kTiles[0]));

struct DeviceLimits {
  std::int64_t multiprocessors;
  std::int64_t shared_bytes;  // of one block, when asked for
  bool clusters;              // compute capability 9.0 and above
};

struct RecurrentShape {
  std::int64_t hidden, gates, batch;
  std::int64_t
      operands;  // of the formula that are kept in shared memory, for each hidden unit and row
  std::int64_t bytes;  // of an element: 4 or 8
  bool backward;

  std::int64_t inner() const { return backward ? hidden * gates : hidden; }
  std::int64_t columns_per_unit() const { return backward ? 1 : gates; }
  std::int64_t inner_per_unit() const { return backward ? gates : 1; }
  std::int64_t per_chunk() const { return kChunkBytes / bytes; }
  std::int64_t chunks() const { return (inner() + per_chunk() - 1) / per_chunk(); }
};

// How the persistent forms divide: block (slice, group) has `units` hidden units with all of their gates, and `rows` rows.
struct RecurrentPlan {
  RecurrentForm form = RecurrentForm::alternating;
  int tile = 0;             // of kTiles
  std::int64_t units = 0;   // of a block
  std::int64_t slices = 0;  // blocks that share a group of rows, and exchange h
  std::int64_t rows = 0;    // of a group
  std::int64_t groups = 0;
  std::int64_t row_step = 0;      // rows from one chunk of what is handed on to the next
  std::int64_t tile_width = 0;    // columns
  std::int64_t column_tiles = 0;  // in a block; warps beyond those divide the inner axis
  std::int64_t splits = 0;        // parts of the inner axis
  std::int64_t partial_row = 0;   // elements from one row of a warp's sums to the next
  std::int64_t work_bytes =
      0;  // of each warp in shared memory: operands on their way, then partial sums
  std::int64_t shared_bytes = 0;  // of a block
  double cycles = 0;              // of a step, estimated
};

// The form that is estimated to be fastest among those that fit; with `wanted`, the best division of that form, and
// alternating where it does not fit. Cost: some thousand divisions tried.
RecurrentPlan plan_recurrent(const RecurrentShape& shape, const DeviceLimits& limits,
                             RecurrentForm wanted);

}  // namespace tapeloop::cuda
