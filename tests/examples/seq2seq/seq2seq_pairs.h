// SPDX-License-Identifier: MIT
// A few pairs of letters and small settings, for the tests of models and of runs of
// examples/seq2seq.
#pragma once

#include "examples/seq2seq/training.h"
#include "tests/support.h"

namespace seq2seq {

inline const std::vector<Pair> kPairs = {{"ab", "ba"},    {"abc", "cba"}, {"c", "c"},
                                         {"bca", "acb"},  {"aa", "aa"},   {"cb", "bc"},
                                         {"abca", "acba"}};

inline Languages languages_of_pairs() {
  std::vector<std::vector<std::string>> sources, targets;
  for (const Pair& pair : kPairs) {
    sources.push_back(characters(pair.source));
    targets.push_back(characters(pair.target));
  }
  return {Unit::character, Unit::character, Vocabulary(sources), Vocabulary(targets)};
}

inline std::vector<Example> examples_of_pairs() {
  std::vector<Example> examples;
  for (const Pair& pair : kPairs) examples.push_back(example_of(pair, languages_of_pairs()));
  return examples;
}

inline Settings small() {
  Settings settings;
  settings.model.hidden = 6;
  settings.model.embedding = 4;
  settings.model.layers = 2;
  settings.model.dropout = 0.2;
  settings.batch = 3;
  settings.seed = 5;
  return settings;
}

inline bool same_weights(const Trainer& a, const Trainer& b) {
  const auto x = tapeloop::nn::state_dict(a.translator().model()),
             y = tapeloop::nn::state_dict(b.translator().model());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!tapeloop::test::same_bits(x[i].tensor, y[i].tensor)) return false;
  }
  return x.size() == y.size();
}

}  // namespace seq2seq
