// SPDX-License-Identifier: MIT
// Checks of the arguments of trees and graphs.
#include "tapeloop/nn/structures/structure.h"

#include <fmt/format.h>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/structures/graph.h"

namespace tapeloop::nn::detail {

void fail_predecessor(std::size_t p, std::size_t slots) {
  fail("step", fmt::format("the cell's step() reads predecessor {}, but a node of this schedule "
                           "has {}: {}",
                           p, slots,
                           slots == 0 ? "give a schedule with predecessors, such as "
                                        "Schedule::trees_by_children()"
                                      : "give a schedule with more, or read fewer"));
}
void fail_edges(int table, std::size_t tables) {
  fail("step",
       tables == 0
           ? std::string("the cell's step() reads edges, but this schedule has none; give one with "
                         "edges, such as Schedule::trees_by_parent() or Schedule::graph()")
           : fmt::format("the cell's step() reads table {} of the edges, but this schedule has the "
                         "tables 0 to {}",
                         table, tables - 1));
}

void check_nodes(const char* structure, const Var& x, const Schedule& schedule) {
  if (!x.defined() || x.rank() != 2 || x.dim(0) != schedule.input_rows()) {
    fail(structure,
         fmt::format("x is {}, expected [V={}, I], a row for each node of the schedule",
                     x.defined() ? x.shape().str() : "undefined", schedule.input_rows()));
  }
}

void check_tree(const StepLayout& layout, const Schedule& trees) {
  const int children = layout.predecessors(), tables = layout.edge_tables();
  if (children > 0 && trees.slots() > children) {
    fail("tree", fmt::format("a node of this schedule has {} children, the cell reads {}; make the "
                             "schedule by trees_by_children(..., {})",
                             trees.slots(), children, children));
  }
  if (tables > 0 && trees.edge_tables() > tables) {
    fail("tree", fmt::format("the schedule has {} tables of edges, the cell reads {}; make the "
                             "schedule by trees_by_parent()",
                             trees.edge_tables(), tables));
  }
}

void check_made(const char* structure, const Var& part, std::size_t k, std::int64_t nodes,
                std::int64_t size) {
  if (!part.defined() || part.shape() != Shape{nodes, size}) {
    fail(structure,
         fmt::format("step() returned {} as part {} of the state, expected [{}, {}]",
                     part.defined() ? part.shape().str() : "an undefined value", k, nodes, size));
  }
}

void check_parts(const char* structure, std::size_t made, std::size_t state, std::size_t sizes) {
  if (made < state || made > sizes) {
    fail(structure, fmt::format("the cell's recurrence makes {} parts; expected at least {}, those "
                                "of State, and at most {}, those of state_sizes()",
                                made, state, sizes));
  }
}

void check_initial(const char* structure, const Var& part, std::size_t k, std::int64_t rows,
                   std::int64_t size) {
  if (part.defined() && part.shape() != Shape{rows, size}) {
    fail(structure, fmt::format("part {} of the initial states is {}, expected [V={}, {}]", k,
                                part.shape().str(), rows, size));
  }
}

void check_graph(int layers, bool residual, std::int64_t input, std::int64_t hidden) {
  if (layers < 1) fail("graph", fmt::format("layers is {}, expected 1 or more", layers));
  if (residual && input != hidden) {
    fail("graph", fmt::format("input is {}, hidden {}; with residual they must be equal: each "
                              "layer's h is added to its input",
                              input, hidden));
  }
}

void check_built(const char* structure, bool built) {
  if (!built) {
    fail(structure,
         "the layers were made by the default constructor and have no weights; construct them with "
         "options first");
  }
}

}  // namespace tapeloop::nn::detail
