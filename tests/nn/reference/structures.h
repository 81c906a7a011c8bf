// SPDX-License-Identifier: MIT
// Trees and graphs in tests/reference.
#pragma once

#include "tests/nn/reference/case.h"

namespace reference {

inline Outputs tree_lstm(Case& c) {
  const std::string type = c.text("type", "childsum");
  nn::TreeLstmOptions options{.input = c.integer("input_size", 0),
                              .hidden = c.integer("hidden_size", 0),
                              .bias = c.flag("bias", true),
                              .dtype = c.dtype()};
  const Var x = c.var("input.x");
  if (type == "childsum") {
    using Tree = nn::ChildSumTreeLstm;
    const Tree& tree = c.module<Tree>("", [&](Random& random) { return Tree(options, random); });
    const auto state = tree(x, Schedule::trees_by_parent(c.integers("input.parent")));
    return {{"h", state.h()}, {"c", state[1]}};
  }
  if (type != "nary") throw Unknown("a tree of type " + type);
  using Tree = nn::NaryTreeLstm;
  options.arity = static_cast<int>(c.stored("input.children").dim(1));
  const Tree& tree = c.module<Tree>("", [&](Random& random) { return Tree(options, random); });
  const auto state =
      tree(x, Schedule::trees_by_children(c.integers("input.children"), options.arity));
  return {{"h", state.h()}, {"c", state[1]}};
}

inline Outputs graph_lstm(Case& c) {
  const std::string reads = c.text("forget_reads", "previous");
  const std::string output = c.text("output", "tanh_om");
  if (reads != "previous" && reads != "current") throw Unknown("forget_reads = " + reads);
  if (output != "tanh_om" && output != "o_tanh_m") throw Unknown("output = " + output);
  const nn::GraphLstmOptions options{
      .input = c.integer("input_size", 0),
      .hidden = c.integer("hidden_size", 0),
      .layers = static_cast<int>(c.integer("layers", 1)),
      .residual = c.flag("residual"),
      .adaptive = c.flag("adaptive", true),
      .forget_reads = reads == "current" ? nn::ForgetReads::current : nn::ForgetReads::previous,
      .output = output == "tanh_om" ? nn::GraphOutput::tanh_om : nn::GraphOutput::o_tanh_m,
      .bias = c.flag("bias", true),
      .dtype = c.dtype()};
  using Graph = nn::GraphLstm;
  const Graph& graph = c.module<Graph>("", [&](Random& random) { return Graph(options, random); });
  const std::vector<std::int64_t> begins = c.integers("input.offsets");
  const std::vector<std::int64_t> neighbours = c.integers("input.neighbours");
  const std::vector<std::int64_t> order = c.integers("input.order");
  nn::GraphLstmCell::State start;
  start[0] = c.var_if("input.h0");
  start[1] = c.var_if("input.m0");
  const auto run = graph(c.var("input.x"), Schedule::graph({begins, neighbours}, order), start);
  Outputs result{{"y", run.y}, {"m", run.last[1]}};
  for (std::size_t layer = 0; layer < run.h.size(); ++layer)
    result["h_l" + std::to_string(layer)] = run.h[layer];
  return result;
}

}  // namespace reference
