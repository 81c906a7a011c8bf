// SPDX-License-Identifier: MIT
// Cells on grids in tests/reference.
#pragma once

#include "tests/nn/reference/case.h"

namespace reference {

inline Outputs mdlstm(Case& c) {
  nn::GridOptions options{.input = c.integer("input_size", 0),
                          .hidden = c.integer("hidden_size", 0),
                          .dimensions = static_cast<int>(c.integer("dims", 0)),
                          .directions = c.texts_of("directions"),
                          .layers = static_cast<int>(c.integer("num_layers", 1)),
                          .bias = c.flag("bias", true),
                          .dtype = c.dtype()};
  const std::string combine = c.text("combine", "concat");
  if (combine != "concat" && combine != "sum") throw Unknown("combine " + combine);
  options.sum_directions = combine == "sum";
  nn::MdLstmOptions own{.peepholes = c.flag("peephole")};
  const std::string variant = c.text("variant", "standard"), weights = c.text("lambda", "sigmoid");
  if (variant == "mean") {
    own.variant = nn::MdVariant::mean;
  } else if (variant == "stable") {
    own.variant = nn::MdVariant::stable;
  } else if (variant == "leakylp") {
    own.variant = nn::MdVariant::leaky;
  } else if (variant != "standard") {
    throw Unknown("variant " + variant);
  }
  if (weights == "softmax") {
    own.weights = nn::MdWeights::softmax;
  } else if (weights != "sigmoid") {
    throw Unknown("lambda " + weights);
  }
  using Layers = nn::MdLstm;
  const Layers& layers =
      c.module<Layers>("", [&](Random& random) { return Layers(options, random, own); });
  const std::vector<std::int64_t> sizes = c.integers_if("input.sizes");
  return {{"y", layers(c.var("input.x"), {.sizes = sizes}).ys}};
}

inline Outputs grid_lstm(Case& c) {
  const std::vector<std::int64_t> extents = c.integers_of("sizes");
  const Shape sizes{std::span<const std::int64_t>(extents)};
  nn::GridLstmOptions options{.hidden = c.integer("hidden_size", 0),
                              .dimensions = sizes.rank(),
                              .shared = c.flag("shared"),
                              .untied = static_cast<int>(c.integer("untied", -1)),
                              .bias = c.flag("bias"),
                              .dtype = c.dtype()};
  for (const std::string& kind : c.texts_of("cells")) {
    if (kind != "lstm" && kind != "tanh" && kind != "relu" && kind != "identity")
      throw Unknown("cell " + kind);
    options.cells.push_back(kind == "lstm"   ? nn::GridCellKind::lstm
                            : kind == "tanh" ? nn::GridCellKind::tanh
                            : kind == "relu" ? nn::GridCellKind::relu
                                             : nn::GridCellKind::identity);
  }
  for (const std::int64_t d : c.integers_of("priority"))
    options.priority.push_back(static_cast<int>(d));
  if (options.untied >= 0) options.untied_size = sizes[options.untied];
  const std::string output = c.text("output", "tanh_om");
  if (output != "tanh_om" && output != "o_tanh_m") throw Unknown("output " + output);
  if (output == "o_tanh_m") options.output = nn::GridOutput::o_tanh_m;
  const nn::GridLstm& grid =
      c.module<nn::GridLstm>("", [&](Random& random) { return nn::GridLstm(options, random); });
  nn::GridSides in;
  for (int d = 0; d < sizes.rank(); ++d) {
    in.h.push_back(c.var_if("input.h_in_d" + std::to_string(d)));
    in.m.push_back(c.var_if("input.m_in_d" + std::to_string(d)));
  }
  const nn::GridSides out = grid(in, sizes);
  Outputs result;
  for (std::size_t d = 0; d < out.h.size(); ++d) {
    result["h_out_d" + std::to_string(d)] = out.h[d];
    if (out.m[d].defined()) result["m_out_d" + std::to_string(d)] = out.m[d];
  }
  return result;
}

}  // namespace reference
