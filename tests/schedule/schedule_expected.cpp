// SPDX-License-Identifier: MIT
#include "tests/schedule/schedule_expected.h"

#include <algorithm>

namespace tapeloop::test {
namespace {

std::int64_t product(const Index& sizes, int without = -1) {
  std::int64_t result = 1;
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if (static_cast<int>(d) != without) result *= sizes[d];
  }
  return result;
}

// The number of cell p, row-major, without one of the coordinates.
std::int64_t number_of(const Index& sizes, const Index& p, int without = -1) {
  std::int64_t result = 0;
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    if (static_cast<int>(d) != without) result = result * sizes[d] + p[d];
  }
  return result;
}

// A state of one structure as a state of the union.
std::int64_t in_union(std::int64_t state, const Expected& before) {
  if (state >= 0) return state + before.input_rows;
  return state == kZeros ? kZeros : state - before.initial_rows;
}

}  // namespace

Expected expected_sequences(std::int64_t T, std::int64_t N, const SequenceOrder& order) {
  Expected expected{.slots = 1, .input_rows = T * N, .initial_rows = N};
  for (std::int64_t n = 0; n < N; ++n) {
    const std::int64_t length = order.lengths.empty() ? T : order.lengths[at(n)];
    std::int64_t before = initial_state(n);
    for (std::int64_t s = 0; s < length; ++s) {
      const std::int64_t t = order.reverse ? length - 1 - s : s;
      if (!order.resets.empty() && order.resets[at(t * N + n)] != 0) before = initial_state(n);
      expected.nodes[t * N + n] = {.slots = {before}, .level = s};
      before = t * N + n;
    }
    expected.finals.push_back(before);
  }
  return expected;
}

Expected expected_grid(const Index& sizes, std::int64_t N, const GridOrder& order) {
  const int D = static_cast<int>(sizes.size());
  Expected expected{.slots = D, .input_rows = product(sizes) * N};
  Index side;
  for (int d = 0; d < D; ++d) {
    side.push_back(expected.initial_rows);
    expected.initial_rows += product(sizes, d) * N;
  }
  for (std::int64_t n = 0; n < N; ++n) {
    Index own = sizes;
    if (!order.sample_sizes.empty()) {
      for (int d = 0; d < D; ++d) own[at(d)] = order.sample_sizes[at(n * D + d)];
    }
    for (std::int64_t cell = 0; cell < product(own); ++cell) {
      Index p(at(D));
      for (std::int64_t d = D - 1, rest = cell; d >= 0; rest /= own[at(d)], --d) {
        p[at(d)] = rest % own[at(d)];
      }
      ExpectedNode node;
      for (int d = 0; d < D; ++d) {
        Index neighbour = p;
        neighbour[at(d)] += (order.directions >> d & 1) != 0 ? 1 : -1;
        if (neighbour[at(d)] >= 0 && neighbour[at(d)] < own[at(d)]) {
          node.slots.push_back(number_of(sizes, neighbour) * N + n);
        } else {
          node.slots.push_back(initial_state(side[at(d)] + number_of(sizes, p, d) * N + n));
        }
      }
      expected.nodes[number_of(sizes, p) * N + n] = node;
    }
  }
  return expected;
}

Expected expected_by_parent(const Index& parents) {
  Expected expected{.edge_tables = 1, .input_rows = static_cast<std::int64_t>(parents.size())};
  for (std::size_t v = 0; v < parents.size(); ++v) {
    ExpectedNode node{.edges = {{}}};
    for (std::size_t child = 0; child < parents.size(); ++child) {
      if (parents[child] == static_cast<std::int64_t>(v)) {
        node.edges[0].push_back(static_cast<std::int64_t>(child));
      }
    }
    expected.nodes[static_cast<std::int64_t>(v)] = node;
  }
  return expected;
}

Expected expected_by_children(const Index& children, int K) {
  Expected expected{.slots = K, .input_rows = static_cast<std::int64_t>(children.size()) / K};
  for (std::size_t i = 0; i < children.size(); ++i) {
    const std::int64_t child = children[i];
    expected.nodes[static_cast<std::int64_t>(i) / K].slots.push_back(child < 0 ? kZeros : child);
  }
  return expected;
}

Index random_parents(std::int64_t V, Draw& draw) {
  Index numbers, parents(at(V), -1);
  for (std::int64_t v = 0; v < V; ++v) {
    numbers.insert(numbers.begin() + draw(0, v), v);
  }
  for (std::int64_t i = 1; i < V; ++i) {
    const std::int64_t parent = draw(-1, i - 1);
    if (parent >= 0) parents[at(numbers[at(i)])] = numbers[at(parent)];
  }
  return parents;
}

Index children_of(const Index& parents, int K, Draw& draw) {
  Index children(parents.size() * at(K), -1);
  for (std::size_t v = 0; v < parents.size(); ++v) {
    if (parents[v] < 0) continue;
    std::int64_t place = parents[v] * K + draw(0, K - 1);
    while (children[at(place)] >= 0) place = parents[v] * K + (place + 1) % K;
    children[at(place)] = static_cast<std::int64_t>(v);
  }
  return children;
}

Lists lists_of(const Graph& graph) {
  Lists result;
  for (const Index& neighbours : graph) {
    result.neighbours.insert(result.neighbours.end(), neighbours.begin(), neighbours.end());
    result.begins.push_back(static_cast<std::int64_t>(result.neighbours.size()));
  }
  return result;
}

Index in_order(std::int64_t V) {
  Index order;
  for (std::int64_t v = 0; v < V; ++v) order.push_back(v);
  return order;
}

Index shuffled(std::int64_t V, Draw& draw) {
  Index order = in_order(V);
  for (std::int64_t v = V - 1; v > 0; --v) std::swap(order[at(v)], order[at(draw(0, v))]);
  return order;
}

Expected expected_graph(const Graph& graph, const Index& order) {
  const auto V = static_cast<std::int64_t>(graph.size());
  Expected expected{.slots = 1, .edge_tables = 2, .input_rows = V, .initial_rows = V};
  for (std::int64_t v = 0; v < V; ++v) {
    ExpectedNode node{.slots = {initial_state(v)}, .edges = {{}, {}}};
    const auto place = std::find(order.begin(), order.end(), v);
    for (const std::int64_t neighbour : graph[at(v)]) {
      const bool has_run = std::find(order.begin(), place, neighbour) != place;
      node.edges[0].push_back(has_run ? neighbour : initial_state(neighbour));
      node.edges[1].push_back(initial_state(neighbour));
    }
    expected.nodes[v] = node;
  }
  return expected;
}

Graph random_graph(std::int64_t V, Draw& draw) {
  Graph graph(at(V));
  for (std::int64_t v = 0; v < V && V > 1; ++v) {
    for (std::int64_t k = draw(0, 4); k > 0; --k) {
      const std::int64_t neighbour = draw(0, V - 2);
      graph[at(v)].push_back(neighbour + (neighbour >= v ? 1 : 0));
    }
  }
  return graph;
}

Expected expected_union(const std::vector<Expected>& parts) {
  Expected all{.slots = parts[0].slots, .edge_tables = parts[0].edge_tables};
  for (const Expected& part : parts) {
    for (const auto& [number, node] : part.nodes) {
      ExpectedNode moved = node;
      for (std::int64_t& state : moved.slots) state = in_union(state, all);
      for (auto& edges : moved.edges) {
        for (std::int64_t& state : edges) state = in_union(state, all);
      }
      all.nodes[number + all.input_rows] = moved;
    }
    for (const std::int64_t state : part.finals) all.finals.push_back(in_union(state, all));
    all.input_rows += part.input_rows;
    all.initial_rows += part.initial_rows;
  }
  return all;
}

}  // namespace tapeloop::test
