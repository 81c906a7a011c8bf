// SPDX-License-Identifier: MIT
// The choice of the form of recurrent() on a GPU, and the division of the work in a persistent
// kernel: a function of shapes, of the device's limits, and of measured times if there are any.
// Knows neither tensors nor CUDA.
//   H hidden units, G gates, N rows of the batch.
//   Forward: z [N, G*H] = h [N, H] W^T.    Backward: dh [N, H] = dz [N, G*H] W.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/device/cuda/cuda.h"

namespace tapeloop::cuda {

constexpr int kWarps = 8;  // in a block of a persistent kernel
constexpr int kBlockThreads = 32 * kWarps;
constexpr int kChunkSize = 4;    // float32 numbers: one load of a thread, along the inner axis
constexpr int kChunkBytes = 16;  // the same
constexpr int kStages = 4;       // a block copies rows in stages: one is multiplied, three arrive
constexpr int kMostRows = 64;    // of the batch, in a block

// The sums of one thread: columns x rows of the result. It uses each loaded chunk for several sums.
// The lanes of a warp lie along columns and rows; the lanes that are left share the inner axis.
struct Tile {
  int columns, rows;
};
constexpr Tile kTiles[] = {{4, 1}, {4, 4}, {8, 8}};

struct DeviceLimits {
  int multiprocessors;
  int shared_bytes;  // the most that one block may use, by opt-in
};

struct RecurrentShape {
  std::int64_t hidden, gates, batch;
  // Operands of the formula that are kept in shared memory, for each hidden unit and row.
  std::int64_t operands;
  bool backward;

  std::int64_t inner() const { return backward ? hidden * gates : hidden; }
  std::int64_t columns_per_unit() const { return backward ? 1 : gates; }
  std::int64_t chunks() const { return (inner() + kChunkSize - 1) / kChunkSize; }
};

// Block (slice, group) has `units` hidden units with all of their gates, and `rows` rows of the
// batch.
struct RecurrentPlan {
  int groups = 0;  // of rows; groups exchange nothing. 0: the alternating form
  int rows = 0;    // per group
  int units = 0;   // per block
  int slices = 0;  // blocks that share a group of rows and exchange h
  int tile = 0;    // index in kTiles
  // 2^column_bits lanes of a warp lie along columns, 2^row_bits along rows.
  int column_bits = 0, row_bits = 0;
  int tile_width = 0;    // columns of a warp
  int column_tiles = 0;  // warps along the columns
  int splits = 0;        // warps along the inner axis
  int parts = 0;         // sums that are added up to one result
  int stage_chunks = 0;  // chunks of the inner axis that a stage has for each split
  int work_bytes = 0;    // shared memory for stages, and afterwards for sums
  int shared_bytes = 0;  // of a block

  bool persistent() const { return groups > 0; }
};

// One measured time of a form: `groups` as in the plan. Times compare only within one shape and
// pass.
struct RecurrentTime {
  std::int64_t hidden, gates, batch;
  bool backward;
  int groups;
  double seconds;
};
// Reads lines "hidden gates batch forward|backward groups seconds"; gpu_bench --times writes them.
// A line that begins with # is a comment. Throws Error for other lines.
std::vector<RecurrentTime> read_recurrent_times(const std::string& file);

// The division into these groups of rows; not persistent() if it does not fit the device.
RecurrentPlan divided_into(std::int64_t groups, const RecurrentShape& shape,
                           const DeviceLimits& limits);

// The fastest measured division, if `times` has the shape. Else as many groups of rows as fit: of
// any size if one block holds all weights and exchanges nothing, of 8, 16, 32 or 64 rows otherwise.
// Rules by the rows of a block choose its tile. Not persistent() if `wanted` is alternating, or if
// nothing fits.
RecurrentPlan plan_recurrent(const RecurrentShape& shape, const DeviceLimits& limits,
                             RecurrentForm wanted, std::span<const RecurrentTime> times = {});

}  // namespace tapeloop::cuda
