// SPDX-License-Identifier: MIT
// Captions in tests/reference: an LSTM that starts from an image, and one that looks at it. Words
// [T + 1, N] are START .. END, then -1.
#pragma once

#include "tests/nn/reference/images.h"

namespace reference {

// What the decoder reads and predicts, and 1 where there is a word to predict.
struct Words {
  Tensor inputs, targets, within;  // [T, N], [T, N], [T, N, 1]
};
inline Words words_of(Case& c) {
  const Tensor words = c.tensor("input.words");
  const std::int64_t steps = words.dim(0) - 1, batch = words.dim(1);
  std::vector<std::int64_t> inputs = words.slice(0, 0, steps).to_vector<std::int64_t>();
  for (std::int64_t& word : inputs) word = std::max<std::int64_t>(word, 0);
  const Tensor targets = words.slice(0, 1, steps + 1);
  std::vector<double> within;
  for (const std::int64_t word : targets.to_vector<std::int64_t>()) within.push_back(word >= 0);
  return {Tensor::from({steps, batch}, inputs), targets,
          Tensor::from({steps, batch, 1}, within).to(c.dtype()).to(c.device())};
}

// h0, c0 = tanh(code), or the code is the input before START.
inline Outputs caption(Case& c) {
  const Words words = words_of(c);
  const Var features = max_pool2d(relu(conv2d(c.var("input.image"), c.var("param.conv.weight"),
                                              c.var("param.conv.bias"), {.padding = {1, 1}})));
  const Var code = linear(reshape(features, {features.dim(0), -1}), c.var("param.fc.weight"),
                          c.var("param.fc.bias"));
  const Var es = embedded(c, words.inputs);
  const std::int64_t hidden = c.integer("hidden_size", 0);
  const nn::Lstm& stack = c.module<nn::Lstm>("lstm.", [&](Random& random) {
    return nn::Lstm({.input = es.dim(2), .hidden = hidden, .dtype = c.dtype()}, random);
  });
  Var ys;
  if (const std::string inject = c.text("inject", "init"); inject == "init") {
    const PoolVector<Var> start = chunk(insert_axis(tanh(code), 0), 2, -1);
    ys = stack(es, nn::Lstm::State(start[0], start[1])).ys;
  } else if (inject == "first_input") {
    ys = slice(stack(concat({insert_axis(code, 0), es}, 0)).ys, 0, 1, es.dim(0) + 1);
  } else {
    throw Unknown("inject " + inject);
  }
  const Var logits = head(c, ys);
  return {{"logits", logits}, {"loss", cross_entropy(logits, words.targets, {.ignore_index = -1})}};
}

// Annotations [N, L, D]; the attention of the state before, its gate, and the penalty.
inline Outputs show_attend_tell(Case& c) {
  const Words words = words_of(c);
  const Var a = c.var("input.annotations");
  const auto layer = [&](const std::string& name, const Var& x) {
    return linear(x, c.var("param." + name + ".weight"), c.var_if("param." + name + ".bias"));
  };
  const Shape key = c.stored("param.att.key.weight").shape();
  const std::int64_t hidden = c.integer("hidden_size", 0);
  Random random(1);
  nn::Attention attention({.query = hidden, .source = key[1], .size = key[0], .dtype = c.dtype()},
                          random);
  c.load("att.key.", attention.key);
  c.load("att.query.", attention.query);
  c.load("att.score.", attention.v);
  const nn::AttentionSource source = attention.prepare(transpose(a, 0, 1));
  const Var es = embedded(c, words.inputs);
  const nn::LstmCell& cell = c.module<nn::LstmCell>("lstm.", [&](Random& draw) {
    return nn::LstmCell({.input = es.dim(2) + key[1], .hidden = hidden, .dtype = c.dtype()}, draw);
  });
  const Var code = mean(a, {1});
  nn::LstmCell::State state(tanh(layer("init_h", code)), tanh(layer("init_c", code)));
  std::vector<Var> logits, alphas;
  for (const Var& e : unstack(es)) {
    const nn::Attended seen = attention(state.h(), source);
    const Var z = c.flag("gated") ? sigmoid(layer("gate", state.h())) * seen.context : seen.context;
    state = cell.step(cell.input(concat({e, z}, -1)), state);
    logits.push_back(layer("out", e + layer("out_h", state.h()) + layer("out_z", z)));
    alphas.push_back(seen.weights);
  }
  const Var all = stack(logits), weights = stack(alphas);
  const Var each = sum(square(1.0 - sum(weights * Var(words.within), {0})), {1});
  const Var penalty = mean(each);
  return {{"logits", all},
          {"alphas", weights},
          {"penalty", penalty},
          {"loss", cross_entropy(all, words.targets, {.ignore_index = -1}) +
                       c.number("lambda", 1) * penalty}};
}

}  // namespace reference
