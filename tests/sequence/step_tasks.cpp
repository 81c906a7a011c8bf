// SPDX-License-Identifier: MIT
// The orders on which tests run every step, and the same steps one node after the other.
#include <array>
#include <optional>

#include "tapeloop/autograd/sequence/edge_rows.h"
#include "tests/sequence/step_kinds.h"

namespace tapeloop::test {

const std::vector<Order>& orders() {
  const std::vector<std::int64_t> lengths = {2, 0, 4, 4, 1};
  std::vector<std::uint8_t> resets(4 * 5, 0);
  resets[5] = resets[7] = resets[11] = resets[19] = 1;
  const std::vector<std::int64_t> samples = {3, 2, 1, 4};
  const std::vector<std::int64_t> children = {1,  2,  3,  4,  -1,    5,  -1, -1,
                                              -1, -1, -1, -1, 5 + 2, -1, -1, -1};
  static const std::vector<Order> all = {
      {"a chain", Schedule::sequences(4, 3)},
      {"a chain, reverse", Schedule::sequences(4, 3, {.reverse = true})},
      {"lengths", Schedule::sequences(4, 5, {.lengths = lengths})},
      {"lengths, reverse", Schedule::sequences(4, 5, {.reverse = true, .lengths = lengths})},
      {"resets", Schedule::sequences(4, 5, {.resets = resets})},
      {"resets and lengths, reverse",
       Schedule::sequences(4, 5, {.reverse = true, .lengths = lengths, .resets = resets})},
      {"a grid", Schedule::grid({3, 4}, 2)},
      {"a grid from another corner", Schedule::grid({4, 2}, 1, {.directions = 2})},
      {"grids of several sizes", Schedule::grid({3, 4}, 2, {.sample_sizes = samples})},
      {"trees", Schedule::trees_by_children(children, 2)},
  };
  return all;
}

const std::vector<Order>& edge_orders() {
  const std::vector<std::int64_t> parents = {4, 4, -1, 4, 7, 7, -1, -1, 6, 8, 9, 7};
  const std::vector<std::int64_t> star = {3, 3, 3, -1, 3};
  const std::vector<std::int64_t> chain = {-1, 0, 1, 2};
  // Node 5 has no neighbours, 2 lists 4 twice, and 3 is a neighbour of 0 only one way.
  const std::vector<std::int64_t> begins = {0, 3, 5, 8, 9, 12, 12, 13, 14};
  const std::vector<std::int64_t> neighbours = {1, 3, 6, 0, 2, 1, 4, 4, 2, 2, 2, 7, 0, 4};
  const std::vector<std::int64_t> order = {2, 7, 0, 4, 5, 1, 6, 3};
  const std::array<std::array<std::int64_t, 2>, 3> pairs = {{{0, 1}, {2, 1}, {0, 3}}};
  const Schedule trees = Schedule::trees_by_parent(parents);
  const Schedule graph = Schedule::graph({begins, neighbours}, order);
  const std::array<Schedule, 3> forest = {Schedule::trees_by_parent(star), trees,
                                          Schedule::trees_by_parent(chain)};
  const std::array<Schedule, 2> graphs = {graph, Schedule::graph(4, pairs)};
  static const std::vector<Order> all = {
      {"trees by parents", trees},
      {"a star", Schedule::trees_by_parent(star)},
      {"joined trees", Schedule::join(forest)},
      {"a graph", graph},
      {"a graph, given in pairs", Schedule::graph(4, pairs)},
      {"joined graphs", Schedule::join(graphs)},
      {"a graph without edges", Schedule::graph(3, {})},
  };
  return all;
}

namespace {

// The edges of the root of a tree of its own.
EdgeRows edges_of_one_node(std::int64_t count, DType dtype) {
  std::vector<std::int64_t> parents(static_cast<std::size_t>(count), count);
  parents.push_back(-1);
  const Schedule tree = Schedule::trees_by_parent(parents);
  return {tree, tree.levels() - 1, dtype, Device::cpu};
}

// The step, one node after the other, each with rows of its own.
RecurrentResult one_by_one(const Recurrence& r, const Var& zx, std::span<const Var> initial,
                           std::span<const std::int64_t> sizes, const Schedule& schedule) {
  Recurrence sized = r;
  sized.resolve(zx.defined() ? zx.dim(1) : 0, sizes);
  const StepLayout& layout = sized.layout();
  std::vector<PoolVector<Var>> states(static_cast<std::size_t>(schedule.state_rows()));
  const auto rows = schedule.external_rows(), from = schedule.external_from();
  const DType dtype = initial[0].dtype();
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    auto& state = states[static_cast<std::size_t>(rows[i])];
    for (std::size_t k = 0; k < initial.size(); ++k) {
      state.push_back(from[i] < 0 ? Var(Tensor::zeros({1, sizes[k]}, dtype))
                                  : slice(initial[k], 0, from[i], from[i] + 1));
    }
  }
  std::vector<PoolVector<Var>> nodes(static_cast<std::size_t>(schedule.nodes()));
  for (std::int64_t l = 0; l < schedule.levels(); ++l) {
    const Schedule::Level level = schedule.level(l);
    for (std::int64_t i = 0; i < level.count; ++i) {
      PoolVector<Var> before(layout.values.size());
      for (std::size_t v = 0; v < before.size(); ++v) {
        const StepLayout::Value& value = layout.values[v];
        const auto part = [&](std::int64_t row) {
          return states[static_cast<std::size_t>(row)][static_cast<std::size_t>(value.index)];
        };
        if (value.from == StepLayout::From::state) {
          before[v] = part(schedule.slot(l, value.predecessor)[i]);
        }
        if (value.from != StepLayout::From::edge_state) continue;
        PoolVector<Var> all;
        const std::int64_t* const begins = schedule.edges(l).begins;
        for (std::int64_t e = begins[i]; e < begins[i + 1]; ++e) {
          all.push_back(part(schedule.edge_rows(value.predecessor)[e]));
        }
        const auto size = sizes[static_cast<std::size_t>(value.index)];
        before[v] = all.empty() ? Var(Tensor::zeros({0, size}, dtype)) : concat(all, 0);
      }
      std::optional<EdgeRows> edges;
      if (schedule.has_edges()) {
        const std::int64_t* const begins = schedule.edges(l).begins;
        edges.emplace(edges_of_one_node(begins[i + 1] - begins[i], dtype));
      }
      const std::int64_t node = level.first + i;
      PoolVector<Tensor> extras;
      for (const Tensor& x : r.extras()) extras.push_back(x.slice(0, node, node + 1));
      const Var input = zx.defined() ? slice(zx, 0, node, node + 1) : Var();
      nodes[static_cast<std::size_t>(node)] = states[static_cast<std::size_t>(level.state + i)] =
          detail::step_by_operations(layout, r, input, before, extras, edges ? &*edges : nullptr,
                                     1);
    }
  }
  RecurrentResult result;
  for (std::size_t k = 0; k < initial.size(); ++k) {
    PoolVector<Var> parts;
    for (const auto& node : nodes) parts.push_back(node[k]);
    result.states.push_back(concat(parts, 0));
    const auto finals = schedule.finals();
    parts.clear();
    for (std::int64_t i = 0; i < finals.size(); ++i)
      parts.push_back(states[static_cast<std::size_t>(finals[i])][k]);
    if (!parts.empty()) result.last.push_back(concat(parts, 0));
  }
  result.hs = result.states[0];
  return result;
}

}  // namespace

StepTask::StepTask(const StepKind& s, const Order& o, std::int64_t hidden, DType type, Device where)
    : step(s), order(o), dtype(type), device(where) {
  StepWeights draw{hidden, type, where, parameters};
  const std::int64_t nodes = o.schedule.nodes();
  recurrence = s.make(draw, nodes);
  if (s.input_gates > 0) x = draw({nodes, s.input_gates * hidden});
  for (const int size : s.sizes) {
    sizes.push_back(size > 0 ? size : size == 0 ? hidden : -size * hidden);
    initial.push_back(draw({o.schedule.initial_rows(), sizes.back()}));
  }
}

RecurrentResult StepTask::run(bool fused, bool moved) const {
  Var zx = x.defined() && moved ? x * 1.25 : x;
  if (!fused) return one_by_one(recurrence, zx, initial, sizes, order.schedule);
  if (moved) {
    return recurrent(recurrence, std::move(zx), initial, sizes, order.schedule,
                     {.all_parts = true});
  }
  return recurrent(recurrence, zx, initial, sizes, order.schedule, {.all_parts = true});
}

std::vector<Tensor> StepTask::outcome(bool fused, bool moved, int derivative) const {
  Tape tape;
  const RecurrentResult result = run(fused, moved);
  std::vector<Tensor> values;
  Var loss;
  std::uint64_t seed = 500;
  const auto add = [&](const Var& y) {
    values.push_back(y.value().to(Device::cpu).clone());
    const Var term = sum(y * Var(random_tensor(y.shape(), seed++, dtype).to(device)));
    loss = loss.defined() ? loss + term : term;
  };
  for (const Var& y : result.states) add(y);
  for (const Var& y : result.last) add(y);
  if (derivative == 2) {
    const std::vector<Var> first = tape.gradient(loss, parameters, {.create_graph = true});
    loss = Var();
    for (const Var& gradient : first) add(gradient);
  }
  for (const Var& gradient : tape.gradient(loss, parameters)) {
    values.push_back(gradient.value().to(Device::cpu).clone());
  }
  return values;
}

double worst(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double result = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    double largest = 1;
    for (const double y : b[i].to_vector<double>()) largest = std::max(largest, std::abs(y));
    result = std::max(result, distance(a[i], b[i]) / largest);
  }
  return result;
}

}  // namespace tapeloop::test
