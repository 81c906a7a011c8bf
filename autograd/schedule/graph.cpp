// SPDX-License-Identifier: MIT
// Schedules of graphs whose nodes run in a given order. A node reads the new states of neighbours
// that have run, and the states of the layer before of all others.
//   V nodes.
#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/schedule/builder.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {
namespace {

using detail::at;
using detail::ScheduleBuilder;

constexpr const char* kName = "Schedule::graph";

void check(const NeighbourLists& lists) {
  if (lists.begins.empty() || lists.begins[0] != 0) {
    fail(kName, "`begins` must start with 0 and have one number more than there are nodes");
  }
  const auto V = static_cast<std::int64_t>(lists.begins.size()) - 1;
  for (std::int64_t v = 0; v < V; ++v) {
    if (lists.begins[at(v + 1)] < lists.begins[at(v)]) {
      fail(kName,
           fmt::format("`begins` falls from {} to {} at node {}; a list cannot end before it "
                       "begins",
                       lists.begins[at(v)], lists.begins[at(v + 1)], v));
    }
  }
  const auto size = static_cast<std::int64_t>(lists.neighbours.size());
  if (lists.begins.back() != size) {
    fail(kName, fmt::format("`begins` ends with {}, but there are {} neighbours; the two must be "
                            "equal",
                            lists.begins.back(), size));
  }
  for (std::int64_t v = 0; v < V; ++v) {
    for (std::int64_t e = lists.begins[at(v)]; e < lists.begins[at(v + 1)]; ++e) {
      const std::int64_t neighbour = lists.neighbours[at(e)];
      if (neighbour < 0 || neighbour >= V) {
        fail(kName, fmt::format("neighbour {} of node {} is outside 0..{}", neighbour, v, V - 1));
      }
      if (neighbour == v) {
        fail(kName, fmt::format("node {} is its own neighbour; remove it from its list: a node "
                                "always reads its own state of the layer before",
                                v));
      }
    }
  }
}

// [V]: the place of each node in `order`. Throws if `order` does not have each node once.
PoolVector<std::int64_t> places_in(std::span<const std::int64_t> order, std::int64_t V) {
  const auto size = static_cast<std::int64_t>(order.size());
  if (size != V) {
    fail(kName, fmt::format("the order has {} nodes, the graph {}; give each node once", size, V));
  }
  PoolVector<std::int64_t> places(at(V), -1);
  for (std::int64_t i = 0; i < V; ++i) {
    const std::int64_t node = order[at(i)];
    if (node < 0 || node >= V) {
      fail(kName, fmt::format("node {} at place {} of the order is outside 0..{}", node, i, V - 1));
    }
    if (places[at(node)] >= 0) {
      fail(kName, fmt::format("the order has node {} at places {} and {}; give each node once",
                              node, places[at(node)], i));
    }
    places[at(node)] = i;
  }
  return places;
}

// [V]: the level of each node: the length of the longest chain of neighbours that run before it,
// one after the other.
PoolVector<std::int64_t> levels_of(const NeighbourLists& lists,
                                   const PoolVector<std::int64_t>& places,
                                   std::span<const std::int64_t> order) {
  PoolVector<std::int64_t> levels(places.size(), 0);
  for (const std::int64_t node : order) {
    for (std::int64_t e = lists.begins[at(node)]; e < lists.begins[at(node + 1)]; ++e) {
      const std::int64_t neighbour = lists.neighbours[at(e)];
      if (places[at(neighbour)] < places[at(node)]) {
        levels[at(node)] = std::max(levels[at(node)], levels[at(neighbour)] + 1);
      }
    }
  }
  return levels;
}

}  // namespace

Schedule Schedule::graph(const NeighbourLists& lists, std::span<const std::int64_t> order) {
  check(lists);
  const auto V = static_cast<std::int64_t>(lists.begins.size()) - 1;
  PoolVector<std::int64_t> by_number;
  if (order.empty()) {
    by_number.resize(at(V));
    for (std::int64_t v = 0; v < V; ++v) by_number[at(v)] = v;
    order = by_number;
  }
  const PoolVector<std::int64_t> places = places_in(order, V);
  detail::Numbering numbering = detail::number_by_level(levels_of(lists, places, order), order);
  ScheduleBuilder builder(1, 2);
  const auto edges = static_cast<std::int64_t>(lists.neighbours.size());
  builder.edge_begins().reserve(at(V + 1));
  builder.edge_rows().resize(at(2 * edges));
  std::int64_t edge = 0;
  for (const std::int64_t v : numbering.order) {
    builder.edge_begins().push_back(edge);
    for (std::int64_t e = lists.begins[at(v)]; e < lists.begins[at(v + 1)]; ++e, ++edge) {
      const std::int64_t neighbour = lists.neighbours[at(e)];
      const std::int64_t before = numbering.node_of[at(neighbour)];  // state row, layer before
      const bool has_run = places[at(neighbour)] < places[at(v)];
      builder.edge_rows()[at(edge)] = has_run ? V + before : before;
      builder.edge_rows()[at(edges + edge)] = before;
    }
  }
  builder.edge_begins().push_back(edge);
  numbering.each_level([&](std::int64_t first, std::int64_t count) {
    builder.level(first, count, V + first);
    builder.range(first);
  });
  builder.externals(
      V, [](std::int64_t i) { return i; }, [&](std::int64_t i) { return numbering.order[at(i)]; });
  builder.order() = std::move(numbering.order);
  return std::move(builder).finish(V, V);
}

Schedule Schedule::graph(std::int64_t V, std::span<const std::array<std::int64_t, 2>> edges,
                         std::span<const std::int64_t> order) {
  if (V < 0 || V > (std::int64_t{1} << 40)) {
    fail(kName, fmt::format("V is {}; the number of nodes is 0 to 2^40", V));
  }
  for (std::size_t e = 0; e < edges.size(); ++e) {
    const auto& [a, b] = edges[e];
    if (std::min(a, b) < 0 || std::max(a, b) >= V) {
      fail(kName, fmt::format("edge {} joins {} and {}; the nodes are 0..{}", e, a, b, V - 1));
    }
  }
  PoolVector<std::int64_t> begins(at(V + 1), 0), neighbours(2 * edges.size());
  for (const auto& edge : edges) {
    for (const std::int64_t node : edge) ++begins[at(node + 1)];
  }
  for (std::int64_t v = 0; v < V; ++v) begins[at(v + 1)] += begins[at(v)];
  PoolVector<std::int64_t> next = begins;
  for (const auto& [a, b] : edges) {
    neighbours[at(next[at(a)]++)] = b;
    neighbours[at(next[at(b)]++)] = a;
  }
  return graph(NeighbourLists{begins, neighbours}, order);
}

}  // namespace tapeloop
