// SPDX-License-Identifier: MIT
// The data of one recurrent() call for its forward and backward parts. Private to those files.
#pragma once

#include "tapeloop/autograd/device/level_run.h"
#include "tapeloop/autograd/sequence/recurrent.h"

namespace tapeloop::detail {

struct RecurrentRun {
  Recurrence recurrence;  // resolved
  Schedule schedule;
  PoolVector<Var> initial;      // K parts [initial rows, size]; undefined: zeros
  Var zx;                       // [.., columns], a row for each node; undefined if not read
  PoolVector<Tensor> extras{};  // [V, size]
  bool in_place = false;        // zx's memory now holds products
  SequencePart part{};          // where to log the gradients of h, if at all
  DType dtype{};
  Device device{};

  const StepLayout& layout() const { return recurrence.layout(); }
  std::int64_t nodes() const { return schedule.nodes(); }
  // The rows of a value in all levels together.
  std::int64_t rows(const StepLayout::Value& value) const {
    return value.by_edge ? schedule.edges() : schedule.nodes();
  }
  std::int64_t part_size(std::size_t k) const { return value(layout().next[k]).size; }
  std::size_t parts() const { return layout().next.size(); }
  const StepLayout::Value& value(int v) const {
    return layout().values[static_cast<std::size_t>(v)];
  }
  // The time of a node of level l in a sequence; in other structures the level.
  std::int64_t time(std::int64_t l, std::int64_t node = 0) const {
    const Schedule::Level level = schedule.level(l);
    if (schedule.is_chain()) return level.first / level.count;
    if (schedule.batch() == 0) return l;
    const std::span<const std::int64_t> order = schedule.order();
    const std::int64_t i = level.first + node;
    return (order.empty() ? i : order[static_cast<std::size_t>(i)]) / schedule.batch();
  }
  // The numbers of the operation's inputs: zx, weights, parameters, parts of the initial state.
  int weight_input(int i) const { return 1 + i; }
  int unit_input(int i) const { return 1 + static_cast<int>(recurrence.weights().size()) + i; }
  int initial_input(int k) const {
    return unit_input(static_cast<int>(recurrence.units().size())) + k;
  }
  PoolVector<const Var*> inputs() const;
  // Calls use(number, input) for all of them.
  template <class Use>
  void each_input(Use use) const {
    std::size_t i = 0;
    use(i++, zx);
    for (const Var& w : recurrence.weights()) use(i++, w);
    for (const Var& u : recurrence.units()) use(i++, u);
    for (const Var& s : initial) use(i++, s);
  }
  std::size_t input_count() const {
    return 1 + recurrence.weights().size() + recurrence.units().size() + initial.size();
  }
  Tensor zx_rows() const;  // zx as [V, columns]; undefined if not read
};

// What a run keeps for its backward pass.
struct RecurrentMemory {
  PoolVector<Tensor> values;  // by value of the layout: [V, size] or [E, size], see LevelRun
  Tensor columns;             // [V, columns of the input], with in_input_columns() products
  PoolVector<Tensor> states;  // [state rows, size]
};

// --- facts about a layout (recurrent_memory.cpp) ---

// True if a product or a sum of edge states may be calculated in the columns of the input that it
// adds: nothing else reads them.
bool in_input_columns(const StepLayout& layout, const StepLayout::Operation& op);
// True if the gradient of a product may overwrite it: only formulas read it, each column once.
bool gradient_replaces(const StepLayout& layout, int value);
// True if a recorded run keeps the value for its backward pass: see LevelBackward.
bool kept(const StepLayout& layout, int value);
// True if operations with in_input_columns() cover all columns of the input.
bool input_is_added(const StepLayout& layout);

// --- rows (recurrent_memory.cpp) ---

// `from` by the rows of a list of the schedule, as [count, ..]: a view if the list is a range.
Tensor rows_of(const Schedule& schedule, const Tensor& from, const Schedule::Rows& rows);
// to[rows] += from.
void add_to_rows(const Schedule& schedule, const Tensor& to, const Schedule::Rows& rows,
                 const Tensor& from);
// The states of the external rows from the initial states; and their gradients back.
void fill_external(const RecurrentRun& run, std::size_t part, const Tensor& states);
Tensor external_gradient(const RecurrentRun& run, std::size_t part, const Tensor& dstates);
// The rows of all nodes, in their order, out of the rows of all states.
Tensor of_nodes(const Schedule& schedule, const Tensor& states);
// An operand of a product for all nodes, [V, columns], or for all edges: a view if the rows are
// adjacent, else a copy. (recurrent_gradient.cpp)
Tensor operand_of(const RecurrentRun& run, const RecurrentMemory& memory,
                  const StepLayout::Columns& x);

// --- inspection (recurrent_inspect.cpp) ---

// For a recorded run. If the tape checks, throws at the first level with a product or a state that
// is not finite, and names the gate.
void observe_forward(const RecurrentRun& run, const RecurrentMemory& memory);
// True if observe_backward() needs the gradients of all states.
bool observes_states(const RecurrentRun& run, const Grads& grads);
// Logs |dh| of all levels. If the tape checks, throws at the last level with a gradient that is not
// finite: of the state, or of a product.
void observe_backward(const RecurrentRun& run, const Grads& grads, const Tensor& dh,
                      std::span<const Tensor> dvalues);

// --- the same by operations (recurrent_recorded.cpp) ---

// The gradient of a run, written with operations so that it can be differentiated again. Runs the
// forward pass again step by step, and plays it backwards. douts: the gradients of the results.
void recorded_gradient(const RecurrentRun& run, const RecurrentMemory& memory, bool all_parts,
                       std::span<const Var> douts, Grads& grads);

}  // namespace tapeloop::detail
