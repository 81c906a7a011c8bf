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

inline nn::GraphLstmOptions graph_options(const Case& c) {
  const std::string reads = c.text("forget_reads", "previous");
  const std::string output = c.text("output", "tanh_om");
  if (reads != "previous" && reads != "current") throw Unknown("forget_reads = " + reads);
  if (output != "tanh_om" && output != "o_tanh_m") throw Unknown("output = " + output);
  return {.input = c.integer("input_size", 0),
          .hidden = c.integer("hidden_size", 0),
          .layers = static_cast<int>(c.integer("layers", 1)),
          .residual = c.flag("residual"),
          .adaptive = c.flag("adaptive", true),
          .forget_reads = reads == "current" ? nn::ForgetReads::current : nn::ForgetReads::previous,
          .output = output == "tanh_om" ? nn::GraphOutput::tanh_om : nn::GraphOutput::o_tanh_m,
          .bias = c.flag("bias", true),
          .dtype = c.dtype()};
}

inline Outputs graph_lstm(Case& c) {
  using Graph = nn::GraphLstm;
  const Graph& graph =
      c.module<Graph>("", [&](Random& random) { return Graph(graph_options(c), random); });
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

inline Var integers_as_floats(const Case& c, std::span<const std::int64_t> numbers) {
  std::vector<double> values(numbers.begin(), numbers.end());
  return Var(Tensor::from({static_cast<std::int64_t>(values.size())}, values).to(c.dtype()));
}

// Pixels to the mean of each superpixel, a Graph LSTM in the order of confidence, and logits of the
// labels, spread to the pixels.
struct SuperpixelModel {
  nn::Linear confidence;
  nn::GraphLstm graph;
  nn::Linear out;
  void visit(nn::Visitor& v) const {
    v("conf", confidence);
    graph.visit(v);
    v("out", out);
  }
};

inline Outputs graph_superpixels(Case& c) {
  const Var pixels = c.var("input.pixels");
  const std::int64_t height = pixels.dim(0), width = pixels.dim(1), channels = pixels.dim(2);
  nn::GraphLstmOptions options = graph_options(c);
  options.input = channels;
  const std::int64_t labels = c.stored("param.out.weight").dim(0);
  const SuperpixelModel& model = c.module<SuperpixelModel>("", [&](Random& random) {
    return SuperpixelModel{{channels, labels, random, c.has("param.conf.bias"), c.dtype()},
                           {options, random},
                           {options.hidden, labels, random, c.has("param.out.bias"), c.dtype()}};
  });
  const nn::Superpixels regions(c.integers("input.segments"), 1, height, width);
  const Var flat = reshape(pixels, {height * width, channels});
  const Var features = regions.mean(flat);
  const Var confidence = regions.mean(softmax(model.confidence(flat), 1));
  const std::vector<std::int64_t> order = regions.by_confidence(confidence.value());
  const auto [begins, neighbours] = regions.neighbours();
  const auto run = model.graph(features, Schedule::graph({begins, neighbours}, order));
  const Var logits = regions.spread(model.out(run.y));
  return {{"features", features},
          {"confidence", confidence},
          {"order", integers_as_floats(c, order)},
          {"offsets", integers_as_floats(c, begins)},
          {"neighbours", integers_as_floats(c, neighbours)},
          {"pixel_logits", reshape(logits, {height, width, labels})}};
}

}  // namespace reference
