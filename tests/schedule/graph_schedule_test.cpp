// SPDX-License-Identifier: MIT
// Schedules of graphs, compared with the definition: directed lists, undirected edges, given
// orders, isolated nodes, long chains, stars, wrong lists.
#include <array>

#include "tests/messages.h"
#include "tests/schedule/schedule_expected.h"

namespace tapeloop::test {

using Edge = std::array<std::int64_t, 2>;

TEST_CASE("random directed graphs with random orders: edges to the new or to the old state") {
  Draw draw;
  for (int round = 0; round < 150; ++round) {
    CAPTURE(round);
    const std::int64_t V = draw(0, 25);
    const Graph graph = random_graph(V, draw);
    const Lists lists = lists_of(graph);
    const Index order = shuffled(V, draw);
    const Schedule schedule = Schedule::graph(lists.view(), order);
    check_schedule(schedule, expected_graph(graph, order));
    for (std::int64_t l = 0; l < schedule.levels(); ++l) {
      CHECK(schedule.slot(l, 0).rows == nullptr);
    }
    check_schedule(Schedule::graph(lists.view()), expected_graph(graph, in_order(V)));
  }
}

TEST_CASE("undirected edges make both nodes neighbours, in the order of the edges") {
  Draw draw;
  for (int round = 0; round < 50; ++round) {
    CAPTURE(round);
    const std::int64_t V = draw(2, 20);
    std::vector<Edge> edges;
    Graph graph(at(V));
    for (std::int64_t e = draw(0, 3 * V); e > 0; --e) {
      const std::int64_t a = draw(0, V - 1), b = (a + draw(1, V - 1)) % V;
      edges.push_back({a, b});
      graph[at(a)].push_back(b);
      graph[at(b)].push_back(a);
    }
    const Index order = shuffled(V, draw);
    const Schedule schedule = Schedule::graph(V, edges, order);
    check_schedule(schedule, expected_graph(graph, order));
    CHECK(contents(schedule) == contents(Schedule::graph(lists_of(graph).view(), order)));
  }
}

TEST_CASE("graphs without nodes have no levels; isolated nodes run together") {
  CHECK(Schedule::graph(0, {}).levels() == 0);
  check_schedule(Schedule::graph(0, {}), expected_graph({}, {}));
  const Index order = {2, 0, 1};
  const Schedule schedule = Schedule::graph(3, {}, order);
  check_schedule(schedule, expected_graph({{}, {}, {}}, order));
  CHECK(schedule.levels() == 1);
  CHECK(schedule.edges() == 0);
  CHECK(schedule.order()[0] == 2);
}

TEST_CASE("graphs of 200000 nodes: a chain has as many levels, a star has two") {
  constexpr std::int64_t V = 200000;
  std::vector<Edge> chain, star;
  for (std::int64_t v = 1; v < V; ++v) {
    chain.push_back({v - 1, v});
    star.push_back({0, v});
  }
  CHECK(Schedule::graph(V, chain).levels() == V);
  const Schedule flat = Schedule::graph(V, star);
  CHECK(flat.levels() == 2);
  CHECK(flat.edges(0).count == V - 1);
  CHECK(flat.edges(1).count == V - 1);
}

TEST_CASE("errors of graphs name the node and what was expected") {
  const auto graph = [](const Index& begins, const Index& neighbours, const Index& order = {}) {
    Schedule::graph({begins, neighbours}, order);
  };
  const std::string start =
      "`begins` must start with 0 and have one number more than there are nodes";
  CHECK(throws_with("Schedule::graph: " + start, [&] { graph({}, {}); }));
  CHECK(throws_with(start, [&] { graph({1, 1}, {0}); }));
  CHECK(
      throws_with("`begins` falls from 2 to 1 at node 1; a list cannot end before it begins", [&] {
        graph({0, 2, 1}, {1});
      }));
  CHECK(throws_with("`begins` ends with 2, but there are 3 neighbours; the two must be equal", [&] {
    graph({0, 1, 2}, {1, 0, 0});
  }));
  CHECK(throws_with("neighbour 2 of node 1 is outside 0..1", [&] { graph({0, 1, 2}, {1, 2}); }));
  CHECK(throws_with("neighbour -1 of node 0 is outside 0..1", [&] { graph({0, 1, 2}, {-1, 0}); }));
  CHECK(
      throws_with("node 1 is its own neighbour; remove it from its list: a node always reads its "
                  "own state of the layer before",
                  [&] {
                    graph({0, 1, 2}, {1, 1});
                  }));
  CHECK(throws_with("the order has 1 nodes, the graph 2; give each node once", [&] {
    graph({0, 1, 2}, {1, 0}, {1});
  }));
  CHECK(throws_with("node 2 at place 1 of the order is outside 0..1", [&] {
    graph({0, 1, 2}, {1, 0}, {1, 2});
  }));
  CHECK(throws_with("the order has node 1 at places 0 and 1; give each node once", [&] {
    graph({0, 1, 2}, {1, 0}, {1, 1});
  }));
  const Edge outside[] = {{0, 1}, {2, 3}};
  CHECK(throws_with("edge 1 joins 2 and 3; the nodes are 0..2",
                    [&] { Schedule::graph(3, outside); }));
  const Edge loop[] = {{1, 1}};
  CHECK(throws_with("node 1 is its own neighbour", [&] { Schedule::graph(3, loop); }));
  CHECK(throws_with("V is -1; the number of nodes is 0 to 2^40", [] { Schedule::graph(-1, {}); }));
}

}  // namespace tapeloop::test
