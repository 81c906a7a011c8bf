// SPDX-License-Identifier: MIT
// Schedules of grids, compared with the definition: 1 to 5 dimensions, all directions, samples of
// different sizes, ranges in two dimensions, wrong sizes.
#include "tests/messages.h"
#include "tests/schedule/schedule_expected.h"

namespace tapeloop::test {
namespace {

Schedule grid(const Index& sizes, std::int64_t N, const GridOrder& order = {}) {
  return Schedule::grid(Shape(std::span<const std::int64_t>(sizes)), N, order);
}

}  // namespace

TEST_CASE("grids of 2 to 5 dimensions in all directions: levels by distance from the corner") {
  for (const Index& sizes : std::vector<Index>{{1, 1},
                                               {1, 4},
                                               {5, 1},
                                               {3, 4},
                                               {4, 3},
                                               {1, 1, 1},
                                               {2, 3, 4},
                                               {3, 1, 2},
                                               {2, 2, 3, 2},
                                               {2, 1, 3, 2, 2}}) {
    const int D = static_cast<int>(sizes.size());
    for (unsigned directions = 0; directions < 1u << D; ++directions) {
      for (const std::int64_t N : {1, 3}) {
        CAPTURE(sizes.size());
        CAPTURE(directions);
        CAPTURE(N);
        const Schedule schedule = grid(sizes, N, {.directions = directions});
        check_schedule(schedule, expected_grid(sizes, N, {.directions = directions}));
        std::int64_t levels = 1;
        for (const std::int64_t size : sizes) levels += size - 1;
        CHECK(schedule.levels() == levels);
      }
    }
  }
}

TEST_CASE("in two dimensions every slot of every level is a range, for all sizes and directions") {
  for (std::int64_t rows = 1; rows <= 6; ++rows) {
    for (std::int64_t columns = 1; columns <= 6; ++columns) {
      for (unsigned directions = 0; directions < 4; ++directions) {
        const Index sizes = {rows, columns};
        const Schedule schedule = grid(sizes, 2, {.directions = directions});
        check_schedule(schedule, expected_grid(sizes, 2, {.directions = directions}));
        CHECK(schedule.external_rows().size() == 2 * (rows + columns));
        for (std::int64_t l = 0; l < schedule.levels(); ++l) {
          CHECK(schedule.slot(l, 0).rows == nullptr);
          CHECK(schedule.slot(l, 1).rows == nullptr);
          CHECK(schedule.slot(l, 1).begin == schedule.slot(l, 0).begin + 2);
        }
      }
    }
  }
}

TEST_CASE("samples of different sizes: no nodes outside, and each starts in its own corner") {
  Draw draw;
  for (int round = 0; round < 60; ++round) {
    Index sizes;
    for (std::int64_t d = draw(2, 4); d > 0; --d) sizes.push_back(draw(1, 4));
    const std::int64_t N = draw(1, 4);
    Index own;
    for (std::int64_t n = 0; n < N; ++n) {
      const bool empty = draw(0, 9) == 0;
      for (const std::int64_t size : sizes) own.push_back(empty ? draw(0, size) : draw(1, size));
    }
    for (unsigned directions = 0; directions < 1u << sizes.size(); ++directions) {
      CAPTURE(round);
      CAPTURE(directions);
      const GridOrder order{.directions = directions, .sample_sizes = own};
      check_schedule(grid(sizes, N, order), expected_grid(sizes, N, order));
    }
  }
}

TEST_CASE("samples that all fill the grid give the schedule without sample sizes") {
  const Index plane = {3, 4, 3, 4}, cube = {2, 3, 2, 2, 3, 2};
  for (unsigned directions = 0; directions < 8; ++directions) {
    CHECK(contents(grid({2, 3, 2}, 2, {directions, cube})) ==
          contents(grid({2, 3, 2}, 2, {directions})));
    if (directions < 4) {
      CHECK(contents(grid({3, 4}, 2, {directions, plane})) ==
            contents(grid({3, 4}, 2, {directions})));
    }
  }
}

TEST_CASE("a grid of one dimension is a batch of sequences, lengths included") {
  const std::int64_t lengths[] = {4, 1, 5};
  for (const bool reverse : {false, true}) {
    const unsigned directions = reverse ? 1 : 0;
    CHECK(contents(grid({5}, 3, {directions})) ==
          contents(Schedule::sequences(5, 3, {.reverse = reverse})));
    CHECK(contents(grid({5}, 3, {directions, lengths})) ==
          contents(Schedule::sequences(5, 3, {.reverse = reverse, .lengths = lengths})));
  }
  CHECK(grid({5}, 3).is_chain());
  CHECK_FALSE(grid({1, 5}, 3).is_chain());
}

TEST_CASE("errors of grids name what was given and what was expected") {
  CHECK(throws_with("Schedule::grid: the sizes are [3, 0] and N is 2; all must be at least 1", [] {
    Schedule::grid({3, 0}, 2);
  }));
  CHECK(throws_with("the sizes are [3, 4] and N is 0", [] { Schedule::grid({3, 4}, 0); }));
  CHECK(throws_with("the sizes are [0] and N is 2", [] { Schedule::grid({0}, 2); }));
  CHECK(throws_with("the sizes [1, 1, 1, 1, 1, 1] have 6 dimensions; give 1 to 5", [] {
    Schedule::grid({1, 1, 1, 1, 1, 1}, 2);
  }));
  CHECK(throws_with("the sizes [] have 0 dimensions; give 1 to 5", [] { Schedule::grid({}, 2); }));
  CHECK(throws_with("more nodes than int64 can count", [] {
    Schedule::grid({INT64_MAX / 4, 2}, 2);
  }));
  CHECK(
      throws_with("directions is 4, but a grid of 2 dimensions has directions 0 to 3: bit d "
                  "reverses dimension d",
                  [] {
                    Schedule::grid({3, 4}, 2, {.directions = 4});
                  }));
  const std::int64_t own[] = {3, 4, 2, 5};
  CHECK(
      throws_with("4 sample sizes were given for N = 3 and 2 dimensions; give 6, all of one "
                  "sample before the next",
                  [&] {
                    Schedule::grid({3, 4}, 3, {.sample_sizes = own});
                  }));
  CHECK(throws_with("the size 5 of sample 1 in dimension 1 is outside 0..4, the size of the grid",
                    [&] {
                      Schedule::grid({3, 4}, 2, {.sample_sizes = own});
                    }));
}

}  // namespace tapeloop::test
