// SPDX-License-Identifier: MIT
// Divides a recurrent step over a GPU's blocks. Nothing here estimates time: a division fits or
// does not, rules choose among those that fit, and measured times replace the rules.
#include "tapeloop/autograd/device/cuda/recurrent/recurrent_plan.h"

#include <algorithm>
#include <bit>
#include <fstream>
#include <limits>
#include <sstream>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::cuda {
namespace {

constexpr int kFewRows = 2;    // a tile of one row reads weights fastest
constexpr int kGroupRows = 8;  // from here on lanes share rows and columns in every load
// At least 2^2 lanes of a warp calculate different sums: more parts would take long to add up.
constexpr int kLaneBits = 2;

std::int64_t divided(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
int bits_for(std::int64_t count) {
  return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(count - 1)));
}

// Fills in the tile and the division of the warps.
void divide_block(RecurrentPlan& p, int columns) {
  p.tile = p.rows <= kFewRows ? 0 : p.rows > 32 && columns >= 32 ? 2 : 1;
  const Tile tile = kTiles[p.tile];
  p.row_bits = bits_for(divided(p.rows, tile.rows));
  const int column_bits =
      std::max(bits_for(divided(columns, tile.columns)), kLaneBits - p.row_bits);
  p.column_bits = std::min(5 - p.row_bits, column_bits);
  p.tile_width = tile.columns << p.column_bits;
  p.column_tiles = static_cast<int>(divided(columns, p.tile_width));
  p.splits = kWarps / p.column_tiles;
  p.parts = p.splits << (5 - p.row_bits - p.column_bits);
}

// The division into blocks of so many rows and units; not persistent() if a block has no room.
RecurrentPlan division(std::int64_t rows, std::int64_t units, const RecurrentShape& s,
                       const DeviceLimits& limits) {
  RecurrentPlan p;
  p.rows = static_cast<int>(rows);
  p.groups = static_cast<int>(divided(s.batch, rows));
  p.units = static_cast<int>(units);
  p.slices = static_cast<int>(divided(s.hidden, units));
  const std::int64_t columns = p.units * s.columns_per_unit();
  if (p.units > kBlockThreads || columns > 32 * kWarps * kTiles[1].columns) return {};
  divide_block(p, static_cast<int>(columns));
  if (p.splits < 1) return {};
  const std::int64_t weights = s.chunks() * columns * kChunkBytes;
  const std::int64_t others = (columns + s.operands * p.rows * p.units) * 4;  // bias, operands
  const std::int64_t sums = std::int64_t{p.parts} * p.rows * columns * 4;
  // A stage has two chunks for each lane along the inner axis, and a copy for each lane of a warp.
  // It is smaller if memory is short.
  const int least = p.parts / p.splits;
  for (int chunks = std::max({4, 2 * least, 32 / p.rows}); chunks >= least; chunks /= 2) {
    const std::int64_t stages = std::int64_t{kStages} * p.splits * chunks * p.rows * kChunkBytes;
    const std::int64_t work =
        (std::max(stages, sums) + kChunkBytes - 1) / kChunkBytes * kChunkBytes;
    if (weights + work + others > limits.shared_bytes) continue;
    p.stage_chunks = chunks;
    p.work_bytes = static_cast<int>(work);
    p.shared_bytes = static_cast<int>(weights + work + others);
    return p;
  }
  return {};
}

}  // namespace

RecurrentPlan divided_into(std::int64_t groups, const RecurrentShape& s,
                           const DeviceLimits& limits) {
  if (groups < 1 || groups > std::min<std::int64_t>(limits.multiprocessors, s.batch)) return {};
  const std::int64_t rows = divided(s.batch, groups);
  if (rows > kMostRows || s.hidden > (1 << 20) || s.gates > 64) return {};
  // Kernels count the elements of a time step in 32 bits.
  if (s.batch * s.hidden * s.gates > std::numeric_limits<int>::max()) return {};
  // One block alone needs no exchange. It should not read much more in a step than others.
  if (s.chunks() * s.hidden * s.columns_per_unit() * kChunkBytes <= limits.shared_bytes / 2) {
    if (const RecurrentPlan p = division(rows, s.hidden, s, limits); p.persistent()) return p;
  }
  const std::int64_t slices = limits.multiprocessors / divided(s.batch, rows);
  return division(rows, divided(s.hidden, std::min(slices, s.hidden)), s, limits);
}

RecurrentPlan plan_recurrent(const RecurrentShape& s, const DeviceLimits& limits,
                             RecurrentForm wanted, std::span<const RecurrentTime> times) {
  if (wanted == RecurrentForm::alternating) return {};
  const RecurrentTime* best = nullptr;
  for (const RecurrentTime& time : times) {
    const bool here = time.hidden == s.hidden && time.gates == s.gates && time.batch == s.batch &&
                      time.backward == s.backward;
    if (!here || (wanted == RecurrentForm::persistent && time.groups == 0)) continue;
    if (best == nullptr || time.seconds < best->seconds) best = &time;
  }
  if (best != nullptr && best->groups == 0) return {};
  if (best != nullptr) {
    if (const RecurrentPlan p = divided_into(best->groups, s, limits); p.persistent()) return p;
  }
  const std::int64_t most = std::min<std::int64_t>(limits.multiprocessors, s.batch);
  if (const RecurrentPlan p = divided_into(most, s, limits); p.slices == 1) return p;
  for (int rows = kGroupRows; rows <= kMostRows; rows *= 2) {  // powers of 2 fill the tiles
    const RecurrentPlan p = divided_into(divided(s.batch, rows), s, limits);
    if (p.persistent()) return p;
  }
  return {};
}

std::vector<RecurrentTime> read_recurrent_times(const std::string& file) {
  std::ifstream text(file);
  if (!text) {
    fail("cuda::use_recurrent_times",
         file + " cannot be read; name a file that gpu_bench --times has written");
  }
  std::vector<RecurrentTime> times;
  int number = 0;
  for (std::string line; std::getline(text, line);) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    RecurrentTime time{};
    std::string pass, more;
    words >> time.hidden >> time.gates >> time.batch >> pass >> time.groups >> time.seconds;
    time.backward = pass == "backward";
    if (!words || words >> more || (!time.backward && pass != "forward") || time.groups < 0 ||
        !(time.seconds > 0)) {
      fail("cuda::use_recurrent_times",
           file + ", line " + std::to_string(number) + " is \"" + line +
               "\", expected \"hidden gates batch forward|backward groups seconds\"; write the "
               "file again by gpu_bench --times");
    }
    times.push_back(time);
  }
  return times;
}

}  // namespace tapeloop::cuda
