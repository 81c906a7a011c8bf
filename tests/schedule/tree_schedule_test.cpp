// SPDX-License-Identifier: MIT
// Schedules of trees, compared with the definition: by parents and by children, forests, long
// chains, stars, cycles.
#include "tests/messages.h"
#include "tests/schedule/schedule_expected.h"

namespace tapeloop::test {

TEST_CASE("random forests by parents: edges to the children, levels by height") {
  Draw draw;
  for (int round = 0; round < 100; ++round) {
    CAPTURE(round);
    const Index parents = random_parents(draw(0, 30), draw);
    check_schedule(Schedule::trees_by_parent(parents), expected_by_parent(parents));
  }
}

TEST_CASE("random forests by children: a missing child is a state of zeros") {
  Draw draw;
  for (int round = 0; round < 100; ++round) {
    CAPTURE(round);
    const Index parents = random_parents(draw(0, 12), draw);
    const int K = 12;  // no node has more children
    const Index children = children_of(parents, K, draw);
    check_schedule(Schedule::trees_by_children(children, K), expected_by_children(children, K));
  }
  const Index pair = {-1, -1, 2, 0, -1, -1, -1, -1};  // 1 has the children 2 and 0
  const Schedule schedule = Schedule::trees_by_children(pair, 2);
  check_schedule(schedule, expected_by_children(pair, 2));
  CHECK(schedule.levels() == 2);
  CHECK(schedule.level(0).count == 3);
}

TEST_CASE("trees without nodes have no levels; nodes without a tree are one level") {
  check_schedule(Schedule::trees_by_parent({}), expected_by_parent({}));
  check_schedule(Schedule::trees_by_children({}, 2), expected_by_children({}, 2));
  CHECK(Schedule::trees_by_parent({}).levels() == 0);
  CHECK(Schedule::trees_by_children({}, 2).state_rows() == 0);
  const Index single(5, -1);
  const Schedule schedule = Schedule::trees_by_parent(single);
  check_schedule(schedule, expected_by_parent(single));
  CHECK(schedule.levels() == 1);
  CHECK(schedule.edges() == 0);
}

TEST_CASE("trees of 200000 nodes: a chain has as many levels, a star has two") {
  constexpr std::int64_t V = 200000;
  Index chain(V), star(V, V - 1);
  for (std::int64_t v = 0; v < V; ++v) chain[at(v)] = v - 1;
  star[V - 1] = -1;
  const Schedule by_parent = Schedule::trees_by_parent(chain);
  CHECK(by_parent.levels() == V);
  CHECK(by_parent.order()[0] == V - 1);
  CHECK(by_parent.edge_rows(0)[V - 2] == V - 2);
  for (std::int64_t v = 0; v < V; ++v) chain[at(v)] = v + 1 < V ? v + 1 : -1;
  const Schedule by_children = Schedule::trees_by_children(chain, 1);
  CHECK(by_children.levels() == V);
  CHECK(by_children.slot(V - 1, 0).begin == by_children.level(V - 2).state);
  const Schedule flat = Schedule::trees_by_parent(star);
  CHECK(flat.levels() == 2);
  CHECK(flat.edges(1).count == V - 1);
}

TEST_CASE("errors of trees name the node") {
  const auto by_parent = [](const Index& parents) { Schedule::trees_by_parent(parents); };
  CHECK(
      throws_with("Schedule::trees_by_parent: the parent 3 of node 1 is outside 0..2; give -1 for "
                  "a root",
                  [&] {
                    by_parent({-1, 3, 0});
                  }));
  CHECK(throws_with("the parent -2 of node 0", [&] { by_parent({-2, 0}); }));
  CHECK(throws_with("node 1 is its own ancestor; trees have no cycles", [&] {
    by_parent({-1, 1, 0});
  }));
  CHECK(throws_with("node 2 is its own ancestor", [&] { by_parent({-1, 0, 4, 2, 3, 2}); }));

  const auto by_children = [](const Index& children) { Schedule::trees_by_children(children, 2); };
  CHECK(
      throws_with("Schedule::trees_by_children: 3 children were given for K = 2; give K for each "
                  "node, and -1 for a missing child",
                  [&] {
                    by_children({-1, -1, 0});
                  }));
  CHECK(throws_with("K is 0; it must be at least 1", [] { Schedule::trees_by_children({}, 0); }));
  CHECK(throws_with("child 1 of node 1 is 2, outside 0..1; give -1 for a missing child", [&] {
    by_children({-1, -1, 0, 2});
  }));
  CHECK(throws_with("child 0 of node 0 is -2", [&] { by_children({-2, -1}); }));
  CHECK(
      throws_with("node 0 is a child of node 1 and again of node 2; in a tree a node has one "
                  "parent",
                  [&] {
                    by_children({-1, -1, 0, -1, 1, 0});
                  }));
  CHECK(throws_with("node 0 is a child of node 1 and again of node 1", [&] {
    by_children({-1, -1, 0, 0});
  }));
  CHECK(throws_with("node 1 is its own ancestor", [&] { by_children({-1, -1, 2, -1, 1, -1}); }));
  CHECK(throws_with("node 0 is its own ancestor", [&] { by_children({0, -1}); }));
}

}  // namespace tapeloop::test
