// SPDX-License-Identifier: MIT
// The division of recurrent() over a GPU (recurrent_plan.h): divisions that fit, their coverage,
// the choice, measured times. Runs no kernels.
#include "tapeloop/autograd/device/cuda/recurrent/recurrent_plan.h"

#include <doctest/doctest.h>

#include <fstream>
#include <vector>

#include "tests/folder.h"
#include "tests/support.h"

namespace tapeloop::cuda {
namespace {

constexpr DeviceLimits kHopper{132, 227 << 10};
constexpr DeviceLimits kAmpere{108, 163 << 10};

RecurrentShape lstm(std::int64_t hidden, std::int64_t batch, bool backward = false) {
  return {hidden, 4, batch, backward ? 8 : 6, backward};
}
RecurrentPlan chosen(const RecurrentShape& shape, const DeviceLimits& limits = kHopper) {
  return plan_recurrent(shape, limits, RecurrentForm::automatic);
}

void check_division(const RecurrentPlan& p, const RecurrentShape& s, const DeviceLimits& limits) {
  CAPTURE(s.hidden);
  CAPTURE(s.gates);
  CAPTURE(s.batch);
  CAPTURE(s.backward);
  CAPTURE(p.groups);
  CHECK(p.units * p.slices >= s.hidden);
  CHECK(p.units * (p.slices - 1) < s.hidden);
  CHECK(p.units <= kBlockThreads);
  CHECK(p.rows * p.groups >= s.batch);
  CHECK(p.rows * (p.groups - 1) < s.batch);
  CHECK(p.slices * p.groups <= limits.multiprocessors);
  CHECK(p.shared_bytes <= limits.shared_bytes);
  const Tile tile = kTiles[p.tile];
  CHECK(p.row_bits + p.column_bits <= 5);
  CHECK(p.rows <= tile.rows << p.row_bits);
  CHECK(p.tile_width == tile.columns << p.column_bits);
  CHECK(p.units * s.columns_per_unit() <= p.column_tiles * p.tile_width);
  CHECK(p.splits >= 1);
  CHECK(p.column_tiles * p.splits <= kWarps);
  CHECK(p.parts == p.splits * (32 >> (p.row_bits + p.column_bits)));
  CHECK(p.stage_chunks * p.splits >= p.parts);
  const std::int64_t columns = p.units * s.columns_per_unit();
  CHECK(p.work_bytes >= kStages * p.splits * p.stage_chunks * p.rows * kChunkBytes);
  CHECK(p.work_bytes >= p.parts * p.rows * columns * 4);
  CHECK(p.work_bytes % kChunkBytes == 0);
  CHECK(p.shared_bytes == s.chunks() * columns * kChunkBytes + p.work_bytes +
                              4 * (columns + s.operands * p.rows * p.units));
}

}  // namespace

TEST_CASE("a division covers all units and rows, and fits the device") {
  int checked = 0;
  for (const DeviceLimits& limits : {kHopper, kAmpere, DeviceLimits{12, 128 << 10}}) {
    for (const bool backward : {false, true}) {
      for (const std::int64_t gates : {1, 3, 4}) {
        for (const std::int64_t hidden : {1, 5, 33, 65, 200, 256, 768, 1024, 1280, 4000}) {
          for (const std::int64_t batch : {1, 2, 3, 16, 64, 129, 1000, 9000}) {
            const RecurrentShape shape{hidden, gates, batch, 2 * gates + 4, backward};
            for (const std::int64_t groups : {1, 2, 5, 16, 132}) {
              const RecurrentPlan plan = divided_into(groups, shape, limits);
              if (!plan.persistent()) continue;
              check_division(plan, shape, limits);
              ++checked;
            }
            const RecurrentPlan plan = chosen(shape, limits);
            if (plan.persistent()) check_division(plan, shape, limits);
          }
        }
      }
    }
  }
  CHECK(checked > 1000);
}

TEST_CASE("weights on chip: an LSTM of 1280 units, not one of 1500; at most 64 rows in a block") {
  for (const bool backward : {false, true}) {
    CHECK(chosen(lstm(1024, 16, backward)).persistent());
    CHECK(chosen(lstm(1024, 64, backward)).persistent());
    CHECK_FALSE(chosen(lstm(1024, 65, backward)).persistent());
    CHECK(chosen(lstm(1280, 1, backward)).persistent());
    CHECK_FALSE(chosen(lstm(1500, 1, backward)).persistent());
    CHECK(chosen(lstm(768, 16, backward)).persistent());
    CHECK_FALSE(chosen(lstm(768, 4096, backward)).persistent());
  }
}

TEST_CASE("the rules: one block alone, few rows in one group, groups of 8 rows, large tiles") {
  const RecurrentPlan alone = chosen(lstm(64, 100));
  CHECK(alone.slices == 1);
  CHECK(alone.groups == 100);
  const RecurrentPlan few = chosen(lstm(768, 2));
  CHECK(few.groups == 1);
  CHECK(kTiles[few.tile].rows == 1);
  CHECK(few.slices == 128);
  const RecurrentPlan groups = chosen(lstm(256, 64));
  CHECK(groups.rows == 8);
  CHECK(kTiles[groups.tile].rows == 4);
  const RecurrentPlan large = chosen(lstm(1024, 64));
  CHECK(large.rows == 64);
  CHECK(kTiles[large.tile].rows == 8);
}

TEST_CASE("the alternating form is taken if it is asked for, and for shapes beyond 32 bits") {
  CHECK_FALSE(plan_recurrent(lstm(64, 1), kHopper, RecurrentForm::alternating).persistent());
  CHECK_FALSE(chosen({std::int64_t{1} << 31, 1, 1, 2, false}).persistent());
  CHECK_FALSE(chosen({1, std::int64_t{1} << 31, 1, 2, false}).persistent());
  CHECK_FALSE(chosen(lstm(768, std::int64_t{1} << 40)).persistent());  // and no long search
  CHECK_FALSE(divided_into(0, lstm(64, 8), kHopper).persistent());
  CHECK_FALSE(divided_into(9, lstm(64, 8), kHopper).persistent());
}

TEST_CASE("measured times replace the rules for the shape and pass that they were measured with") {
  const test::Folder folder;
  const std::string file = folder.file("times.txt");
  std::ofstream(file) << "# a comment\n\n"
                         "256 4 64 forward 8 0.003\n"
                         "256 4 64 forward 4 0.002\n"
                         "256 4 64 backward 0 0.001\n"
                         "256 4 64 backward 2 0.004\n"
                         "768 4 16 forward 100 0.001\n";
  const std::vector<RecurrentTime> times = read_recurrent_times(file);
  REQUIRE(times.size() == 5);
  const auto plan = [&](const RecurrentShape& shape,
                        RecurrentForm form = RecurrentForm::automatic) {
    return plan_recurrent(shape, kHopper, form, times);
  };
  CHECK(plan(lstm(256, 64)).groups == 4);
  CHECK_FALSE(plan(lstm(256, 64, true)).persistent());
  CHECK(plan(lstm(256, 64, true), RecurrentForm::persistent).groups == 2);
  CHECK(plan(lstm(256, 32)).groups == chosen(lstm(256, 32)).groups);
  CHECK(plan(lstm(768, 16)).groups == chosen(lstm(768, 16)).groups);  // 100 do not fit
}

TEST_CASE("a file of times that cannot be read: the error names the line") {
  const test::Folder folder;
  const std::string file = folder.file("times.txt");
  CHECK(test::throws_with("cannot be read; name a file that gpu_bench --times has written",
                          [&] { read_recurrent_times(file); }));
  for (const char* line : {"256 4 64 forward 8", "256 4 64 sideways 8 0.1", "256 4 64 forward 8 0",
                           "x", "256 4 64 forward -1 0.1", "256 4 64 forward 8 0.1 more"}) {
    std::ofstream(file) << "# times\n" << line << "\n";
    CHECK(test::throws_with("times.txt, line 2 is \"" + std::string(line) + "\", expected",
                            [&] { read_recurrent_times(file); }));
  }
}

}  // namespace tapeloop::cuda
