// SPDX-License-Identifier: MIT
// Schedules of trees: levels by height, leaves first.
//   V nodes, K children of a node.
#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/schedule/builder.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {
namespace {

using detail::at;
using detail::ScheduleBuilder;

// [V]: the longest way from each node down to a leaf. Throws if a node is its own ancestor.
PoolVector<std::int64_t> heights_of(const char* name, std::span<const std::int64_t> parents) {
  PoolVector<std::int64_t> heights(parents.size(), 0), unseen_children(parents.size(), 0);
  for (const std::int64_t parent : parents) {
    if (parent >= 0) ++unseen_children[at(parent)];
  }
  PoolVector<std::int64_t> ready;  // nodes whose height is known, by ascending height
  ready.reserve(parents.size());
  const auto V = static_cast<std::int64_t>(parents.size());
  for (std::int64_t v = 0; v < V; ++v) {
    if (unseen_children[at(v)] == 0) ready.push_back(v);
  }
  for (std::size_t i = 0; i < ready.size(); ++i) {
    const std::int64_t parent = parents[at(ready[i])];
    if (parent < 0) continue;
    if (--unseen_children[at(parent)] > 0) continue;
    heights[at(parent)] = heights[at(ready[i])] + 1;  // its last child in `ready` is its highest
    ready.push_back(parent);
  }
  if (ready.size() < parents.size()) {
    const auto left = std::find_if(unseen_children.begin(), unseen_children.end(),
                                   [](std::int64_t count) { return count > 0; });
    fail(name, fmt::format("node {} is its own ancestor; trees have no cycles",
                           left - unseen_children.begin()));
  }
  return heights;
}

}  // namespace

Schedule Schedule::trees_by_parent(std::span<const std::int64_t> parents) {
  constexpr const char* kName = "Schedule::trees_by_parent";
  const auto V = static_cast<std::int64_t>(parents.size());
  for (std::int64_t v = 0; v < V; ++v) {
    if (parents[at(v)] < -1 || parents[at(v)] >= V) {
      fail(kName, fmt::format("the parent {} of node {} is outside 0..{}; give -1 for a root",
                              parents[at(v)], v, V - 1));
    }
  }
  detail::Numbering numbering = detail::number_by_level(heights_of(kName, parents));
  ScheduleBuilder builder(0, 1);
  PoolVector<std::int64_t>& begins = builder.edge_begins();
  begins.resize(at(V + 1));
  for (const std::int64_t parent : parents) {
    if (parent >= 0) ++begins[at(numbering.node_of[at(parent)] + 1)];
  }
  for (std::size_t i = 1; i < begins.size(); ++i) begins[i] += begins[i - 1];
  builder.edge_rows().resize(at(begins.back()));
  PoolVector<std::int64_t> next = begins;
  for (std::int64_t v = 0; v < V; ++v) {
    if (parents[at(v)] < 0) continue;
    const std::int64_t edge = next[at(numbering.node_of[at(parents[at(v)])])]++;
    builder.edge_rows()[at(edge)] = numbering.node_of[at(v)];
  }
  numbering.each_level(
      [&](std::int64_t first, std::int64_t count) { builder.level(first, count, first); });
  builder.order() = std::move(numbering.order);
  return std::move(builder).finish(V, 0);
}

Schedule Schedule::trees_by_children(std::span<const std::int64_t> children, int K) {
  constexpr const char* kName = "Schedule::trees_by_children";
  const auto size = static_cast<std::int64_t>(children.size());
  if (K < 1) fail(kName, fmt::format("K is {}; it must be at least 1", K));
  if (size % K != 0) {
    fail(kName, fmt::format("{} children were given for K = {}; give K for each node, and -1 for a "
                            "missing child",
                            size, K));
  }
  const std::int64_t V = size / K;
  PoolVector<std::int64_t> parents(at(V), -1);
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t child = children[at(i)];
    if (child < -1 || child >= V) {
      fail(kName,
           fmt::format("child {} of node {} is {}, outside 0..{}; give -1 for a missing child",
                       i % K, i / K, child, V - 1));
    }
    if (child < 0) continue;
    if (parents[at(child)] >= 0) {
      fail(kName,
           fmt::format("node {} is a child of node {} and again of node {}; in a tree a node "
                       "has one parent",
                       child, parents[at(child)], i / K));
    }
    parents[at(child)] = i / K;
  }
  detail::Numbering numbering = detail::number_by_level(heights_of(kName, parents));
  ScheduleBuilder builder(K);
  numbering.each_level([&](std::int64_t first, std::int64_t count) {
    builder.level(first, count, 1 + first);  // row 0 has zeros
    for (int k = 0; k < K; ++k) {
      builder.slot([&](std::int64_t i) {
        const std::int64_t child = children[at(numbering.order[at(first + i)] * K + k)];
        return child < 0 ? 0 : 1 + numbering.node_of[at(child)];
      });
    }
  });
  builder.externals(
      V > 0 ? 1 : 0, [](std::int64_t) { return 0; }, [](std::int64_t) { return -1; });
  builder.order() = std::move(numbering.order);
  return std::move(builder).finish(V, 0);
}

}  // namespace tapeloop
