// SPDX-License-Identifier: MIT
// Tries the divisions of a recurrent step over a GPU's blocks. Estimates cycles from the bandwidths
// of the chip. The estimates only choose; they are not exact.
#include "tapeloop/autograd/device/cuda/recurrent/recurrent_plan.h"

#include <algorithm>

namespace tapeloop::cuda {
namespace {

// Rates of one SM, per cycle.
constexpr double kFma = 128;          // float32; float64 has half
constexpr double kSharedBytes = 128;  // from shared memory
constexpr double kL2Bytes = 28;       // from the L2 cache, when all SMs read
// To other SMs of a cluster, per cycle: an estimate, not measured.
constexpr double kClusterBytes = 12;
// The fewest SMs of a GPC; a cluster is within one GPC. NVIDIA's H100 whitepaper: 132 SMs in 8
// GPCs; SMs come in pairs, at most 18 in a GPC.
constexpr std::int64_t kGpc = 16;
// Waits, in cycles: for a flag that the slowest block writes and all blocks read, through L2 or
// within a cluster; and the overhead of the two launches of an alternating step.
constexpr double kExchange = 2200;
constexpr double kClusterExchange = 700;
constexpr double kLaunches = 6000;
constexpr double kFormula = 400;  // reading partial sums, the gates, writing states

std::int64_t divided(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Estimated cycles of an alternating step. The product runs at 60 % of the FMA peak, or at the L2
// bandwidth.
double alternating_cycles(const RecurrentShape& s, const DeviceLimits& limits) {
  const auto weights = static_cast<double>(s.hidden * s.hidden * s.gates);
  const double sms = static_cast<double>(limits.multiprocessors);
  const double rows = static_cast<double>(divided(s.batch, 32) * 32);  // a library's smallest tile
  const double fma = weights * rows * static_cast<double>(s.bytes) / 4 / (0.6 * kFma * sms);
  const double read = weights * static_cast<double>(s.bytes) / (kL2Bytes * sms);
  return kLaunches + std::max(fma, read);
}

// Fills in the fields that follow from units, rows and tile. Returns whether the division fits.
bool complete(RecurrentPlan& p, const RecurrentShape& s, const DeviceLimits& limits) {
  const Tile tile = kTiles[p.tile];
  const bool cluster = p.form == RecurrentForm::cluster;
  const std::int64_t columns = p.units * s.columns_per_unit();
  p.slices = divided(s.hidden, p.units);
  p.groups = divided(s.batch, p.rows);
  // Odd in shared memory, so that threads with adjacent units write to different banks.
  p.row_step = cluster ? p.rows | 1 : p.rows;
  p.tile_width = tile.width();
  p.partial_row = p.tile_width + kPartialPadding;
  p.column_tiles = divided(columns, p.tile_width);
  if (p.column_tiles > kWarps || p.rows > tile.height() || !tile.fits(s.bytes)) return false;
  if (cluster ? !limits.clusters || p.slices > kPortable
              : p.slices * p.groups > limits.multiprocessors) {
    return false;
  }
  p.splits = kWarps / p.column_tiles;
  const std::int64_t stages = cluster ? 0 : 2 * kStageChunks * kChunkBytes;
  const std::int64_t partial = divided(p.rows * p.partial_row * s.bytes, kChunkBytes);
  p.work_bytes = std::max(stages, partial * kChunkBytes);
  const std::int64_t weights = s.chunks() * columns * kChunkBytes;
  const std::int64_t operands = s.operands * p.rows * p.units * s.bytes;
  const std::int64_t exchange = cluster ? 2 * s.chunks() * p.row_step * kChunkBytes : 0;
  p.shared_bytes = weights + exchange + kWarps * p.work_bytes + operands;
  return p.shared_bytes <= limits.shared_bytes;
}

std::int64_t clusters_at_once(std::int64_t blocks, const DeviceLimits& limits) {
  const std::int64_t gpcs = std::max<std::int64_t>(1, limits.multiprocessors / kGpc);
  const std::int64_t within = gpcs * (kGpc / blocks);
  return std::max<std::int64_t>(1, std::min(within, limits.multiprocessors / blocks));
}

void estimate(RecurrentPlan& p, const RecurrentShape& s, const DeviceLimits& limits) {
  const Tile tile = kTiles[p.tile];
  const bool cluster = p.form == RecurrentForm::cluster;
  // A warp's work on one chunk of the inner axis: FMAs, and loads of 16 bytes for each thread. If 8
  // lanes read the same place, this is one read.
  const auto read = [](int lanes_apart) { return std::max(1.0, lanes_apart / 8.0); };
  const double fma = tile.columns * tile.rows * 32 * static_cast<double>(s.per_chunk()) *
                     static_cast<double>(s.bytes) / 4 / kFma;
  const double loads = tile.columns * read(tile.lanes) + tile.rows * read(32 / tile.lanes);
  const double turns = static_cast<double>(p.column_tiles * s.chunks());
  const double product = turns * std::max(fma, loads);
  const double received = static_cast<double>(p.rows * s.chunks() * kChunkBytes);
  const double sums = static_cast<double>(p.splits * p.rows * p.units * s.columns_per_unit());
  const double handed_on = static_cast<double>(p.rows * p.units * s.inner_per_unit() * s.bytes);
  const double hand_on = cluster ? handed_on * static_cast<double>(p.slices - 1) / kClusterBytes
                                 : handed_on / kL2Bytes;
  const double waves =
      cluster ? static_cast<double>(divided(p.groups, clusters_at_once(p.slices, limits))) : 1;
  // Rows are copied from L2 while the rows before them are multiplied.
  const double step =
      cluster ? product + received / kSharedBytes : std::max(product, received / kL2Bytes);
  const double wait = p.slices == 1 ? 0 : cluster ? kClusterExchange : kExchange;
  p.cycles = waves * (step + 2 * sums * static_cast<double>(s.bytes) / kSharedBytes + hand_on +
                      wait + kFormula + static_cast<double>(p.slices));
}

}  // namespace

RecurrentPlan plan_recurrent(const RecurrentShape& shape, const DeviceLimits& limits,
                             RecurrentForm wanted) {
  RecurrentPlan best;
  best.cycles = alternating_cycles(shape, limits);
  if (wanted == RecurrentForm::alternating) return best;
  bool found = wanted == RecurrentForm::automatic;  // alternating is the form to beat
  for (const RecurrentForm form : {RecurrentForm::persistent, RecurrentForm::cluster}) {
    if (wanted != RecurrentForm::automatic && wanted != form) continue;
    const std::int64_t most = form == RecurrentForm::cluster ? kPortable : limits.multiprocessors;
    for (std::int64_t slices = 1; slices <= std::min(most, shape.hidden); ++slices) {
      for (int tile = 0; tile < kTileCount; ++tile) {
        const std::int64_t fewest = divided(shape.batch, kTiles[tile].height());
        const std::int64_t groups =
            form == RecurrentForm::cluster ? shape.batch : limits.multiprocessors / slices;
        for (std::int64_t group = fewest; group <= std::min(groups, shape.batch); ++group) {
          RecurrentPlan plan;
          plan.form = form;
          plan.tile = tile;
          plan.units = divided(shape.hidden, slices);
          plan.rows = divided(shape.batch, group);
          if (!complete(plan, shape, limits)) continue;
          estimate(plan, shape, limits);
          if (found && plan.cycles >= best.cycles) continue;
          found = true;
          best = plan;
        }
      }
    }
  }
  return best;
}

}  // namespace tapeloop::cuda
