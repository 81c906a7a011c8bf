// SPDX-License-Identifier: MIT
// Graph<Cell>: layers of a cell on the nodes of graphs, which run in a given order. The cell of a
// Graph LSTM is in graph_lstm.h.
//   V nodes of any number of graphs, I input size, H hidden units, L layers.
#pragma once

#include <string>
#include <vector>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/nn/structures/graph_lstm.h"
#include "tapeloop/nn/structures/structure.h"

namespace tapeloop::nn {

// The result of a Graph.
template <class S>
struct GraphResult {
  Var y;              // [V, I or H]: x plus the h of all layers if residual, else h of the last
  S last;             // the states of all nodes after the last layer, parts [V, size]
  PoolVector<Var> h;  // of each layer, [V, H]
};

namespace detail {
void check_graph(int layers, bool residual, std::int64_t input, std::int64_t hidden);
}  // namespace detail

// A stack of layers. A node of layer k + 1 reads the outputs of layer k, and starts from its own
// state there. Parameters have the cell's names with the suffix _l0, _l1, ...
// A cell has a constructor (const Options&, Random&). Options: a struct with input, layers and
// residual, such as GraphLstmOptions.
template <StructureCell C, class Options = GraphLstmOptions>
class Graph {
 public:
  using State = typename C::State;

  Graph() = default;
  Graph(const Options& options, Random& random) : options_(options) {
    detail::check_graph(options.layers, false, 0, 0);
    for (int layer = 0; layer < options.layers; ++layer) {
      Options own = options;
      if (layer > 0 && !options.residual) own.input = cells_[0].state_sizes()[0];
      cells_.emplace_back(own, random);
    }
    detail::check_graph(options.layers, options.residual, options.input,
                        cells_[0].state_sizes()[0]);
  }

  // x [V, I], a row for each node; graph: Schedule::graph(), or several joined. initial: the states
  // before layer 0, parts [V, size]; undefined: zeros. If a schedule is reused, a step in the
  // steady state allocates nothing. Throws if shapes do not fit.
  GraphResult<State> operator()(const Var& x, const Schedule& graph, State initial = {}) const {
    detail::check_built("graph", !cells_.empty());
    GraphResult<State> result;
    result.y = x;
    result.last = std::move(initial);
    for (std::size_t layer = 0; layer < cells_.size(); ++layer) {
      const Scope scope("l" + std::to_string(layer));
      result.last = detail::run_structure("graph", cells_[layer], result.y, graph, result.last);
      result.h.push_back(result.last.h());
      result.y = options_.residual ? result.y + result.last.h() : result.last.h();
    }
    return result;
  }

  const std::vector<C>& cells() const { return cells_; }  // of the layers
  const Options& options() const { return options_; }     // as given to the constructor
  void visit(Visitor& v) const {
    for (std::size_t layer = 0; layer < cells_.size(); ++layer)
      v.suffixed("_l" + std::to_string(layer), cells_[layer]);
  }

 private:
  Options options_;
  std::vector<C> cells_;
};

// --- graphs of the built-in cell ---
using GraphLstm = Graph<GraphLstmCell>;

}  // namespace tapeloop::nn
