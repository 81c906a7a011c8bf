// SPDX-License-Identifier: MIT
// Cells on grids in tests/reference.
#pragma once

#include "tests/nn/reference_case.h"

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
  using Layers = nn::Grid<nn::MdLstm>;
  const Layers& layers =
      c.module<Layers>("", [&](Random& random) { return Layers(options, random, own); });
  const std::vector<std::int64_t> sizes = c.integers_if("input.sizes");
  return {{"y", layers(c.var("input.x"), {.sizes = sizes}).ys}};
}

}  // namespace reference
