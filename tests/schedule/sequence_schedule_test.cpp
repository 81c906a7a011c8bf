// SPDX-License-Identifier: MIT
// Schedules of sequences, compared with the definition: equal and different lengths, both
// directions, resets, wrong sizes.
#include <algorithm>
#include <array>

#include "tests/messages.h"
#include "tests/schedule/schedule_expected.h"

namespace tapeloop::test {

TEST_CASE("a batch of equal sequences is a chain without tables, in both directions") {
  for (const bool reverse : {false, true}) {
    for (const auto& sizes : {std::array{1, 1}, {1, 5}, {7, 1}, {6, 4}}) {
      const std::int64_t T = sizes[0], N = sizes[1];
      CAPTURE(reverse);
      CAPTURE(T);
      CAPTURE(N);
      const SequenceOrder order{.reverse = reverse};
      const Schedule schedule = Schedule::sequences(T, N, order);
      check_schedule(schedule, expected_sequences(T, N, order));
      CHECK(schedule.is_chain());
      CHECK(schedule.order().empty());
      CHECK(schedule.levels() == T);
      for (std::int64_t l = 0; l < T; ++l) {
        CHECK(schedule.level(l).count == N);
        CHECK(schedule.slot(l, 0).rows == nullptr);
      }
    }
  }
}

TEST_CASE("a chain's rows follow time: the states before level l stand next to those of level l") {
  const Schedule forward = Schedule::sequences(3, 2);
  CHECK(forward.external_rows().begin == 0);
  CHECK(forward.level(0).first == 0);
  CHECK(forward.level(0).state == 2);
  CHECK(forward.slot(0, 0).begin == 0);
  CHECK(forward.level(2).first == 4);
  CHECK(forward.slot(2, 0).begin == 4);
  CHECK(forward.finals().begin == 6);
  const Schedule reverse = Schedule::sequences(3, 2, {.reverse = true});
  CHECK(reverse.external_rows().begin == 6);
  CHECK(reverse.level(0).first == 4);
  CHECK(reverse.level(0).state == 4);
  CHECK(reverse.slot(0, 0).begin == 6);
  CHECK(reverse.level(2).first == 0);
  CHECK(reverse.slot(2, 0).begin == 2);
  CHECK(reverse.finals().begin == 0);
}

TEST_CASE("sequences of different lengths: each level is a range and has no ended sequence") {
  Draw draw;
  for (int round = 0; round < 60; ++round) {
    const std::int64_t T = draw(1, 9), N = draw(1, 7);
    std::vector<std::int64_t> lengths(at(N));
    for (std::int64_t& length : lengths) length = draw(0, T);
    for (const bool reverse : {false, true}) {
      const SequenceOrder order{.reverse = reverse, .lengths = lengths};
      const Schedule schedule = Schedule::sequences(T, N, order);
      CAPTURE(round);
      check_schedule(schedule, expected_sequences(T, N, order));
      CHECK(schedule.levels() == *std::max_element(lengths.begin(), lengths.end()));
      for (std::int64_t l = 0; l < schedule.levels(); ++l) {
        CHECK(schedule.slot(l, 0).rows == nullptr);
      }
    }
  }
}

TEST_CASE("resets: a step with a flag reads the initial state; only its level has a table") {
  Draw draw;
  for (int round = 0; round < 60; ++round) {
    const std::int64_t T = draw(1, 9), N = draw(1, 5);
    std::vector<std::int64_t> lengths(at(N));
    for (std::int64_t& length : lengths) length = draw(0, T);
    std::vector<std::uint8_t> resets(at(T * N));
    for (std::uint8_t& flag : resets) flag = draw(0, 4) == 0 ? 7 : 0;
    for (const bool reverse : {false, true}) {
      CAPTURE(round);
      const SequenceOrder equal{.reverse = reverse, .resets = resets};
      const Schedule schedule = Schedule::sequences(T, N, equal);
      check_schedule(schedule, expected_sequences(T, N, equal));
      CHECK(schedule.order().empty());
      const SequenceOrder ragged{.reverse = reverse, .lengths = lengths, .resets = resets};
      check_schedule(Schedule::sequences(T, N, ragged), expected_sequences(T, N, ragged));
    }
  }
  const std::uint8_t second[] = {0, 0, 0, 0, 0, 1, 0, 0};
  const Schedule schedule = Schedule::sequences(4, 2, {.resets = second});
  CHECK_FALSE(schedule.is_chain());
  CHECK(schedule.slot(1, 0).rows == nullptr);
  CHECK(schedule.slot(2, 0)[0] == schedule.level(1).state);
  CHECK(schedule.slot(2, 0)[1] == schedule.external_rows()[1]);
  CHECK(schedule.slot(3, 0).rows == nullptr);
}

TEST_CASE("lengths of T and resets without effect give the schedule of equal sequences") {
  const std::int64_t full[] = {5, 5, 5};
  std::uint8_t resets[15] = {};
  for (const bool reverse : {false, true}) {
    std::fill(std::begin(resets), std::end(resets), 0);
    resets[reverse ? 13 : 1] = 1;  // at the first step
    const std::vector<std::int64_t> chain = contents(Schedule::sequences(5, 3, {reverse}));
    CHECK(contents(Schedule::sequences(5, 3, {reverse, full})) == chain);
    CHECK(contents(Schedule::sequences(5, 3, {reverse, {}, resets})) == chain);
    CHECK(contents(Schedule::sequences(5, 3, {reverse, full, resets})) == chain);
    resets[6] = 1;
    CHECK_FALSE(Schedule::sequences(5, 3, {reverse, full, resets}).is_chain());
  }
}

TEST_CASE("sequences of length 0 keep their initial state; a batch may have nothing else") {
  const std::int64_t lengths[] = {0, 0};
  const Schedule schedule = Schedule::sequences(4, 2, {.lengths = lengths});
  CHECK(schedule.nodes() == 0);
  CHECK(schedule.levels() == 0);
  check_schedule(schedule, expected_sequences(4, 2, {.lengths = lengths}));
}

TEST_CASE("a default schedule has no nodes") {
  check_schedule(Schedule(), Expected{});
  CHECK(Schedule().levels() == 0);
}

TEST_CASE("a copy of a schedule shares its tables") {
  const std::int64_t lengths[] = {3, 1};
  const std::uint8_t resets[] = {0, 0, 0, 0, 1, 0};
  Schedule first = Schedule::sequences(3, 2, {.lengths = lengths, .resets = resets});
  const std::vector<std::int64_t> before = contents(first);
  const Schedule second = first;
  CHECK(second.order().data() == first.order().data());
  first = Schedule();
  CHECK(contents(second) == before);
}

TEST_CASE("errors of sequences name what was given and what was expected") {
  CHECK(throws_with("Schedule::sequences: T is 0 and N is 3; both must be at least 1",
                    [] { Schedule::sequences(0, 3); }));
  CHECK(throws_with("T is 2 and N is -1", [] { Schedule::sequences(2, -1); }));
  CHECK(throws_with("more nodes than int64 can count; check the sizes",
                    [] { Schedule::sequences(INT64_MAX / 2, 3); }));
  const std::int64_t lengths[] = {3, 5, -1};
  CHECK(throws_with("3 lengths were given for a batch of 2; give one for each sequence",
                    [&] { Schedule::sequences(5, 2, {.lengths = lengths}); }));
  CHECK(
      throws_with("sequences: length 5 of sequence 1 is outside 0..4, the number of time steps; "
                  "[T, N] is [4, 3]",
                  [&] { Schedule::sequences(4, 3, {.lengths = lengths}); }));
  CHECK(throws_with("sequences: length -1 of sequence 2 is outside 0..5",
                    [&] { Schedule::sequences(5, 3, {.lengths = lengths}); }));
  const std::uint8_t resets[5] = {};
  CHECK(
      throws_with("5 resets were given for T = 3 and N = 2; give 6, one for each time step of "
                  "each sequence, time by time",
                  [&] { Schedule::sequences(3, 2, {.resets = resets}); }));
}

}  // namespace tapeloop::test
