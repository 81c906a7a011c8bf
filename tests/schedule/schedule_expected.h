// SPDX-License-Identifier: MIT
// What the schedule of each structure must say, by its definition, and random structures.
#pragma once

#include "tests/schedule/schedule_oracle.h"

namespace tapeloop::test {

Expected expected_sequences(std::int64_t T, std::int64_t N, const SequenceOrder& order);

Expected expected_grid(const Index& sizes, std::int64_t N, const GridOrder& order);

Expected expected_by_parent(const Index& parents);
Expected expected_by_children(const Index& children, int K);
// A random forest of V nodes with random numbers.
Index random_parents(std::int64_t V, Draw& draw);
// The same forest as a table of children, each in a random free place.
Index children_of(const Index& parents, int K, Draw& draw);

using Graph = std::vector<Index>;  // the neighbours of each node
struct Lists {
  Index begins = {0}, neighbours = {};
  NeighbourLists view() const { return {begins, neighbours}; }
};
Lists lists_of(const Graph& graph);
Expected expected_graph(const Graph& graph, const Index& order);
// Up to 4 neighbours a node, some of them twice, not mutual.
Graph random_graph(std::int64_t V, Draw& draw);
Index in_order(std::int64_t V);  // 0, 1, ..
Index shuffled(std::int64_t V, Draw& draw);

// The union of structures, as Schedule::join() makes it.
Expected expected_union(const std::vector<Expected>& parts);

}  // namespace tapeloop::test
