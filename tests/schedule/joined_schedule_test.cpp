// SPDX-License-Identifier: MIT
// Unions of schedules, compared with the definition and with schedules of all structures at once.
#include <array>

#include "tests/messages.h"
#include "tests/schedule/schedule_expected.h"

namespace tapeloop::test {
namespace {

// Random structures of one kind with what their union must say.
struct Parts {
  std::vector<Schedule> schedules;
  std::vector<Expected> expected;
  void add(const Schedule& schedule, const Expected& of_part) {
    schedules.push_back(schedule);
    expected.push_back(of_part);
  }
  void check() const { check_schedule(Schedule::join(schedules), expected_union(expected)); }
};

void add_sequences(Parts& parts, Draw& draw) {
  const std::int64_t T = draw(1, 6), N = draw(1, 4);
  Index lengths(at(draw(0, 1) * N));
  for (std::int64_t& length : lengths) length = draw(0, T);
  std::vector<std::uint8_t> resets(at(draw(0, 1) * T * N));
  for (std::uint8_t& flag : resets) flag = draw(0, 4) == 0 ? 1 : 0;
  const SequenceOrder order{draw(0, 1) == 0, lengths, resets};
  parts.add(Schedule::sequences(T, N, order), expected_sequences(T, N, order));
}

void add_grid(Parts& parts, std::size_t dimensions, Draw& draw) {
  Index sizes(dimensions), own;
  for (std::int64_t& size : sizes) size = draw(1, 4);
  const std::int64_t N = draw(1, 3);
  const bool ragged = draw(0, 1) == 0;
  for (std::int64_t n = 0; n < N && ragged; ++n) {
    for (const std::int64_t size : sizes) own.push_back(draw(0, size));
  }
  const auto directions = static_cast<unsigned>(draw(0, (1 << dimensions) - 1));
  const GridOrder order{directions, own};
  parts.add(Schedule::grid(Shape(std::span<const std::int64_t>(sizes)), N, order),
            expected_grid(sizes, N, order));
}

void append(Index& all, const Index& part, std::int64_t offset) {
  for (const std::int64_t number : part) all.push_back(number < 0 ? number : number + offset);
}

}  // namespace

TEST_CASE("unions of random structures of each kind") {
  Draw draw;
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    Parts sequences, planes, cubes, forests, ordered, graphs;
    for (std::int64_t k = draw(1, 5); k > 0; --k) {
      add_sequences(sequences, draw);
      add_grid(planes, 2, draw);
      add_grid(cubes, 3, draw);
      const Index parents = random_parents(draw(0, 6), draw);
      forests.add(Schedule::trees_by_parent(parents), expected_by_parent(parents));
      const Index children = children_of(parents, 6, draw);
      ordered.add(Schedule::trees_by_children(children, 6), expected_by_children(children, 6));
      const std::int64_t V = draw(0, 8);
      const Graph graph = random_graph(V, draw);
      const Lists lists = lists_of(graph);
      const Index order = shuffled(V, draw);
      graphs.add(Schedule::graph(lists.view(), order), expected_graph(graph, order));
    }
    for (const Parts* parts : {&sequences, &planes, &cubes, &forests, &ordered, &graphs}) {
      parts->check();
    }
  }
}

TEST_CASE("the union of trees, or of graphs, is the schedule of all of them in one call") {
  Draw draw;
  for (int round = 0; round < 40; ++round) {
    CAPTURE(round);
    std::vector<Schedule> forests, ordered, graphs;
    Index all_parents, all_children, all_orders;
    Graph all_graphs;
    for (std::int64_t k = draw(2, 5); k > 0; --k) {
      const auto offset = static_cast<std::int64_t>(all_parents.size());
      const Index parents = random_parents(draw(0, 6), draw);
      const Index children = children_of(parents, 6, draw);
      forests.push_back(Schedule::trees_by_parent(parents));
      ordered.push_back(Schedule::trees_by_children(children, 6));
      append(all_parents, parents, offset);
      append(all_children, children, offset);
      const std::int64_t V = draw(0, 8);
      const Graph graph = random_graph(V, draw);
      const Lists lists = lists_of(graph);
      const Index order = shuffled(V, draw);
      graphs.push_back(Schedule::graph(lists.view(), order));
      append(all_orders, order, static_cast<std::int64_t>(all_graphs.size()));
      const auto first = static_cast<std::int64_t>(all_graphs.size());
      for (const Index& neighbours : graph) {
        all_graphs.emplace_back();
        append(all_graphs.back(), neighbours, first);
      }
    }
    CHECK(contents(Schedule::join(forests)) == contents(Schedule::trees_by_parent(all_parents)));
    CHECK(contents(Schedule::join(ordered)) ==
          contents(Schedule::trees_by_children(all_children, 6)));
    const Lists lists = lists_of(all_graphs);
    CHECK(contents(Schedule::join(graphs)) == contents(Schedule::graph(lists.view(), all_orders)));
  }
}

TEST_CASE("a union of batches of equal sequences has ranges only, also where some have ended") {
  const std::array<Schedule, 3> batches = {Schedule::sequences(3, 2), Schedule::sequences(3, 4),
                                           Schedule::sequences(3, 1, {.reverse = true})};
  const Schedule all = Schedule::join(batches);
  CHECK(all.levels() == 3);
  CHECK_FALSE(all.is_chain());
  for (std::int64_t l = 0; l < 3; ++l) {
    CHECK(all.level(l).count == 7);
    CHECK(all.slot(l, 0).rows == nullptr);
  }
  CHECK(all.external_rows().rows == nullptr);
  CHECK(all.external_from().rows == nullptr);
  CHECK(all.finals().rows == nullptr);
  const std::array<Schedule, 2> longer_last = {Schedule::sequences(2, 2),
                                               Schedule::sequences(4, 3)};
  const Schedule ended = Schedule::join(longer_last);
  CHECK(ended.level(3).count == 3);
  for (std::int64_t l = 0; l < 4; ++l) CHECK(ended.slot(l, 0).rows == nullptr);
}

TEST_CASE("a union of one schedule is that schedule; unions of unions are unions of all") {
  const std::array<Schedule, 1> one = {Schedule::sequences(3, 2)};
  CHECK(Schedule::join(one).is_chain());
  CHECK(contents(Schedule::join(one)) == contents(one[0]));
  Draw draw;
  for (int round = 0; round < 20; ++round) {
    Parts parts;
    for (int k = 0; k < 4; ++k) add_grid(parts, 2, draw);
    const auto& s = parts.schedules;
    const std::array<Schedule, 2> left = {s[0], s[1]}, right = {s[2], s[3]};
    const std::array<Schedule, 2> both = {Schedule::join(left), Schedule::join(right)};
    CHECK(contents(Schedule::join(both)) == contents(Schedule::join(s)));
  }
}

TEST_CASE("a union of a chain of 100000 nodes and 20000 small trees takes no time per pair") {
  Index chain(100000);
  for (std::int64_t v = 0; v < 100000; ++v) chain[at(v)] = v - 1;
  std::vector<Schedule> trees(20000, Schedule::trees_by_parent(Index{-1, 0, 0}));
  trees.push_back(Schedule::trees_by_parent(chain));
  const Schedule all = Schedule::join(trees);
  CHECK(all.levels() == 100000);
  CHECK(all.nodes() == 160000);
  CHECK(all.level(0).count == 40001);
  CHECK(all.level(1).count == 20001);
}

TEST_CASE("errors of unions name the schedules") {
  CHECK(throws_with("Schedule::join: no schedules were given; give at least one",
                    [] { Schedule::join({}); }));
  const std::array<Schedule, 3> mixed = {Schedule::grid({2, 2}, 1), Schedule::grid({3, 2}, 1),
                                         Schedule::trees_by_parent(Index{-1, 0})};
  CHECK(
      throws_with("schedule 2 has 0 slots and 1 edge tables, schedule 0 has 2 and 0; join "
                  "schedules of one kind, such as trees",
                  [&] { Schedule::join(mixed); }));
}

}  // namespace tapeloop::test
