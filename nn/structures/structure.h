// SPDX-License-Identifier: MIT
// Cells whose nodes see the states of other nodes: children in a tree, neighbours in a graph. Any
// struct with State, state_sizes() and visit(), as a cell of sequences has, and one of
//   Var input(const Var& x) const;             the part of a step without any state, and
//   Recurrence recurrence() const;             a step as data: of::state(k, p) is part k of
//                                              predecessor p, of::edge_state(k) that of each child
//                                              or neighbour
//   State step(const Var& x, const Predecessors<State>& before, const Edges<State>& edges) const;
//                                              any step, by operations; input() is optional
// A recurrence may make more parts than State has: hidden parts that only other nodes read, such as
// a product of h. state_sizes() has their sizes, too.
// In a graph a node has a state before it runs: that of the layer before. So a cell may have
//   Recurrence recurrence(const State& before) const;    in place of recurrence(): it may leave out
//                                                        products of undefined parts, which are 0
//   PoolVector<Var> hidden_parts(const State& s) const;  the hidden parts of the states before
//   V nodes, I input size.
#pragma once

#include <optional>
#include <span>

#include "tapeloop/autograd/sequence/edge_rows.h"
#include "tapeloop/autograd/sequence/level_states.h"
#include "tapeloop/nn/recurrent/cell.h"
#include "tapeloop/nn/structures/predecessors.h"

namespace tapeloop::nn {

namespace detail {
// Throws: the step reads this table of edges, and the schedule has `tables` of them.
[[noreturn]] void fail_edges(int table, std::size_t tables);
}  // namespace detail

// The edges of the nodes that run together, for step(): one edge for each child or neighbour.
template <class S>
class Edges {
 public:
  Edges(PoolVector<S> states, const EdgeRows* rows) : states_(std::move(states)), rows_(rows) {}

  // The states at the other ends: parts [edges, size]. For trees table 0; for graphs see
  // Schedule::graph().
  const S& operator[](int table) const {
    const auto i = static_cast<std::size_t>(table);
    if (table < 0 || i >= states_.size()) detail::fail_edges(table, states_.size());
    return states_[i];
  }
  // x [nodes, size] -> [edges, size]: the row of each edge's node.
  Var spread(const Var& x) const { return rows().spread(x); }
  // x [edges, size] -> [nodes, size]: the sum over the edges of each node; 0 without edges.
  Var sum(const Var& x) const { return rows().sum(x); }
  Var mean(const Var& x) const { return rows().mean(x); }  // the mean, also 0 without edges

 private:
  const EdgeRows& rows() const {
    if (rows_ == nullptr) detail::fail_edges(0, 0);
    return *rows_;
  }
  PoolVector<S> states_;
  const EdgeRows* rows_;
};

template <class C>
concept HasStructureStep = requires(const C& cell, const Var& x,
                                    const Predecessors<typename C::State>& before,
                                    const Edges<typename C::State>& edges) {
  { cell.step(x, before, edges) } -> std::same_as<typename C::State>;
};
template <class C>
concept HasHiddenParts = requires(const C& cell, const typename C::State& s) {
  { cell.hidden_parts(s) } -> std::same_as<PoolVector<Var>>;
};
template <class C>
concept HasRecurrenceFrom = requires(const C& cell, const typename C::State& before) {
  { cell.recurrence(before) } -> std::same_as<Recurrence>;
};
template <class C>
concept MakesRecurrence = HasRecurrenceFrom<C> || requires(const C& cell) {
  { cell.recurrence() } -> std::same_as<Recurrence>;
};
template <class C>
concept StructureCell = (HasStructureStep<C> || MakesRecurrence<C>)&&requires(const C& cell) {
  { cell.state_sizes()[0] } -> std::convertible_to<std::int64_t>;
  {typename C::State()};
};

namespace detail {

// Throws unless x is [V, I] with a row for each node.
void check_nodes(const char* structure, const Var& x, const Schedule& schedule);
// Throws if layers were made by their default constructor.
void check_built(const char* structure, bool built);
// Throws if a schedule gives nodes more children than the step reads.
void check_tree(const StepLayout& layout, const Schedule& trees);
// Throws unless part k of the state that step() returned is [nodes, size].
void check_made(const char* structure, const Var& part, std::size_t k, std::int64_t nodes,
                std::int64_t size);
// Throws unless a recurrence makes at least the parts of State, and has a size for each.
void check_parts(const char* structure, std::size_t made, std::size_t state, std::size_t sizes);
void check_initial(const char* structure, const Var& part, std::size_t k, std::int64_t rows,
                   std::int64_t size);

// Level by level, by operations.
template <StructureCell C>
PoolVector<Var> step_levels(const char* structure, const C& cell, const Var& x,
                            const Schedule& schedule, const typename C::State& initial) {
  using State = typename C::State;
  const auto sizes = cell.state_sizes();
  tapeloop::detail::LevelStates states(schedule, initial.all(), sizes, x.dtype(), x.device());
  PoolVector<std::int64_t> counts;
  for (std::int64_t l = 0; l < schedule.levels(); ++l) counts.push_back(schedule.level(l).count);
  const PoolVector<Var> inputs = split(x, counts, 0);
  PoolVector<State> before(static_cast<std::size_t>(schedule.slots()));
  for (std::int64_t l = 0; l < schedule.levels(); ++l) {
    PoolVector<State> ends(static_cast<std::size_t>(schedule.edge_tables()));
    for (std::size_t k = 0; k < State::parts; ++k) {
      for (std::size_t p = 0; p < before.size(); ++p)
        before[p][k] = states.slot(l, static_cast<int>(p), k);
      for (std::size_t t = 0; t < ends.size(); ++t)
        ends[t][k] = states.edge(l, static_cast<int>(t), k);
    }
    std::optional<EdgeRows> rows;
    if (schedule.has_edges()) rows.emplace(schedule, l, x.dtype(), x.device());
    const Edges<State> edges(std::move(ends), rows ? &*rows : nullptr);
    const State next =
        cell.step(inputs[static_cast<std::size_t>(l)], Predecessors<State>(before), edges);
    for (std::size_t k = 0; k < State::parts; ++k) {
      check_made(structure, next[k], k, schedule.level(l).count, sizes[k]);
    }
    states.add_level(next.all());
  }
  PoolVector<Var> parts;
  for (std::size_t k = 0; k < State::parts; ++k) parts.push_back(states.of_nodes(k));
  return parts;
}

// All nodes of a structure: x [V, I] and the states before, in the user's order -> the states of
// all nodes, in the user's order.
template <StructureCell C>
typename C::State run_structure(const char* structure, const C& cell, const Var& x,
                                const Schedule& schedule, const typename C::State& initial = {}) {
  using State = typename C::State;
  check_nodes(structure, x, schedule);
  const auto sizes = cell.state_sizes();
  for (std::size_t k = 0; k < State::parts; ++k) {
    check_initial(structure, initial[k], k, schedule.initial_rows(), sizes[k]);
  }
  Var inputs = to_nodes(schedule, x);
  if constexpr (HasInput<C>) inputs = cell.input(inputs);
  PoolVector<Var> made;
  if constexpr (MakesRecurrence<C>) {
    Recurrence recurrence;
    if constexpr (HasRecurrenceFrom<C>) {
      recurrence = cell.recurrence(initial);
    } else {
      recurrence = cell.recurrence();
    }
    const auto parts = static_cast<std::size_t>(recurrence.parts());
    check_parts(structure, parts, State::parts, sizes.size());
    PoolVector<Var> start(initial.begin(), initial.end());
    if constexpr (HasHiddenParts<C>) {
      for (const Var& part : cell.hidden_parts(initial)) start.push_back(part);
    }
    start.resize(parts);
    made =
        recurrent(recurrence, std::move(inputs), start,
                  std::span<const std::int64_t>(sizes).first(parts), schedule, {.all_parts = true})
            .states;
  } else if (schedule.nodes() > 0) {
    made = step_levels(structure, cell, inputs, schedule, initial);
  } else {
    for (const std::int64_t size : sizes)
      made.emplace_back(Tensor::empty({0, size}, x.dtype(), x.device()));
  }
  State result;
  for (std::size_t k = 0; k < State::parts; ++k) result[k] = from_nodes(schedule, made[k]);
  return result;
}

}  // namespace detail

}  // namespace tapeloop::nn
