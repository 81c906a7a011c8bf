// SPDX-License-Identifier: MIT
// Models in tests/reference: an embedding or numbers, a recurrent stack, a linear layer, a loss.
#pragma once

#include "tests/nn/reference/recurrent.h"

namespace reference {

// The stack "rnn." or "lstm." of the file, and the linear layer "out." or "fc." after it.
inline std::string stack_of(const Case& c) {
  for (const char* prefix : {"rnn.", "lstm.", "gru."}) {
    if (c.has("param." + std::string(prefix) + "weight_ih_l0")) return prefix;
  }
  throw Unknown("a model without a recurrent layer");
}
inline Var head(Case& c, const Var& x) {
  for (const char* prefix : {"param.out.", "param.fc."}) {
    const std::string name = prefix;
    if (c.has(name + "weight")) return linear(x, c.var(name + "weight"), c.var_if(name + "bias"));
  }
  throw Unknown("a model without a linear layer at its end");
}
inline Var embedded(Case& c, const Tensor& symbols) {
  return embedding(c.var("param.emb.weight"), symbols);
}

// Each token predicts the next one: tokens [T+1, B].
inline Outputs char_model(Case& c) {
  const Tensor tokens = c.tensor("input.tokens");
  const std::int64_t steps = tokens.dim(0) - 1;
  const Var logits = head(c, run_stack(c, stack_of(c), embedded(c, tokens.slice(0, 0, steps))));
  return {{"logits", logits}, {"loss", cross_entropy(logits, tokens.slice(0, 1, steps + 1))}};
}

// The mean of the outputs over the valid steps; one logit for each sequence.
inline Outputs sentiment(Case& c) {
  if (const std::string pool = c.text("pool", "mean"); pool != "mean")
    throw Unknown("pooling " + pool);
  const Tensor words = c.tensor("input.words");
  const std::vector<std::int64_t> lengths = c.integers("input.lengths");
  const Var ys = run_stack(c, stack_of(c), embedded(c, words));  // 0 past the ends
  const Tensor count = Tensor::from({words.dim(1), 1}, lengths).to(c.dtype()).to(c.device());
  const Var logits = head(c, sum(ys, {0}) / Var(count));
  const Var each = reshape(logits, {words.dim(1)});
  return {{"logits", each}, {"loss", bce_with_logits(each, c.var("input.target"))}};
}

// A label at each word; -1 is no label.
inline Outputs tagger(Case& c) {
  const Var ys = run_stack(c, stack_of(c), embedded(c, c.tensor("input.words")));
  const Var logits = head(c, ys);
  return {{"logits", logits},
          {"loss", cross_entropy(logits, c.tensor("input.target"),
                                 {.ignore_index = c.integer("ignore_index", -1)})}};
}

// Numbers in and out: the mean squared error at each step.
inline Outputs regression_model(Case& c) {
  const Var y = head(c, run_stack(c, stack_of(c), c.var("input.x")));
  return {{"y", y}, {"loss", mse(y, c.var("input.target"))}};
}

// 0.5 x'Ax - b'x
inline Outputs quadratic(Case& c) {
  const Var x = c.var("param.x");
  return {{"loss", 0.5 * matmul(x, matmul(c.var("input.A"), x)) - matmul(c.var("input.b"), x)}};
}

}  // namespace reference
