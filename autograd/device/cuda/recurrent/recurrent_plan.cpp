// SPDX-License-Identifier: MIT
// Trying the divisions of a recurrent step over a GPU's blocks. The estimates are of cycles, from the widths of the chip's
// paths; they choose, and promise nothing.
#include "tapeloop/autograd/device/cuda/recurrent/recurrent_plan.h"

#include <algorithm>

namespace tapeloop::cuda {
namespace {

// Of an SM, in each cycle.
constexpr double kFma = 128;          // float32; float64 has half
constexpr double kSharedBytes = 128;  // from shared memory
constexpr double kL2Bytes = 28;       // from the cache that SMs share, when all of them read
// To other SMs of a cluster: an estimate, to be measured.
constexpr double kClusterBytes = 12;
// SMs of a GPC, at least; a cluster lies within one. NVIDIA's H100 whitepaper: 132 SMs in 8 GPCs, two by two, 18 at most.
constexpr std::int64_t kGpc = 16;
// Waiting for others, in cycles: a flag written by the slowest block and read by all, through L2 or within a cluster; and
// what the two launches of an alternating step cost beside their work.
constexpr double kExchange = 2200;
constexpr double kClusterExchange = 700;
constexpr double kLaunches = 6000;
constexpr double kFormula = 400;  // reading partial sums, the gates, writing states

std::int64_t divided(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The time of a step, where the product runs at most of the speed that its bound allows.
double alternating_cycles(const RecurrentShape& s, const DeviceLimits& limits) {
  const auto weights = static_cast<double>(s.hidden * s.hidden * s.gates);
  const double sms = static_cast<double>(limits.multiprocessors);
  const double rows = static_cast<double>(divided(s.batch, 32) * 32);  // a library's smallest tile
  const double fma = weights * rows * static_cast<double>(s.bytes) / 4 / (0.6 * kFma * sms);
  const double read = weights * static_cast<double>(s.bytes) / (kL2Bytes * sms);
  return kLaunches + std::max(fma, read);
}

// Fills in what follows from units, rows and tile; whether it fits.
bool complete(RecurrentPlan& p, const RecurrentShape& s, const DeviceLimits& limits) {
  const Tile tile = kTiles[p.tile];
  const bool cluster = p.form == RecurrentForm::cluster;
  const std::int64_t columns = p.units * s.columns_per_unit();
  p.slices = divided(s.hidden, p.units);
  p.groups = divided(s.batch, p.rows);
  // Odd in shared memory, so that threads whose units lie side by side write to different banks.
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
  // A warp's turn at one chunk of the inner axis: FMAs, and loads of 16 bytes for each thread. Where 8 lanes read the same
  // place it is one read.
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
  // Rows come from L2 while those before them are multiplied.
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
  bool found = wanted == RecurrentForm::automatic;  // something to be faster than
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
