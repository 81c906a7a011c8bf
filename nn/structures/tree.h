// SPDX-License-Identifier: MIT
// Tree<Cell>: a cell on trees, from the leaves to the roots. Tree-LSTM cells are in tree_lstm.h.
//   V nodes of any number of trees, I input size.
#pragma once

#include "tapeloop/nn/structures/structure.h"
#include "tapeloop/nn/structures/tree_lstm.h"

namespace tapeloop::nn {

// A cell on trees. Parameters have the cell's names. A cell has a constructor
// (const Options&, Random&).
template <StructureCell C, class Options = TreeLstmOptions>
class Tree {
 public:
  using State = typename C::State;

  Tree() = default;
  Tree(const Options& options, Random& random) : cell_(options, random), built_(true) {}

  // x [V, I], a row for each node -> the states of all nodes, parts [V, size]; h first. `trees`:
  // Schedule::trees_by_parent() if a cell reads any number of children by of::edge_state(), or
  // Schedule::trees_by_children() if child p of a node is its predecessor p. Many trees run
  // together: give them in one call, or Schedule::join() them. If a schedule is reused, a step in
  // the steady state allocates nothing. Throws if shapes do not fit, or if nodes have more
  // children than the cell reads.
  State operator()(const Var& x, const Schedule& trees) const {
    const Scope scope("tree");
    detail::check_built("tree", built_);
    if constexpr (HasRecurrenceFrom<C>) {
      detail::check_tree(cell_.recurrence(State()).layout(), trees);
    } else if constexpr (MakesRecurrence<C>) {
      detail::check_tree(cell_.recurrence().layout(), trees);
    }
    return detail::run_structure("tree", cell_, x, trees);
  }

  const C& cell() const { return cell_; }  // with the weights
  void visit(Visitor& v) const { cell_.visit(v); }

 private:
  C cell_;
  bool built_ = false;  // by the other constructor
};

// --- trees of the built-in cells ---
using ChildSumTreeLstm = Tree<ChildSumLstmCell>;
using NaryTreeLstm = Tree<NaryLstmCell>;

}  // namespace tapeloop::nn
