// SPDX-License-Identifier: MIT
// A model and its two vocabularies: text to text. It does not train.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "examples/seq2seq/data/batches.h"
#include "examples/seq2seq/data/pairs.h"
#include "examples/seq2seq/data/text.h"
#include "examples/seq2seq/data/vocabulary.h"
#include "examples/seq2seq/model.h"

namespace seq2seq {

// The units and the vocabulary of both sides.
struct Languages {
  Unit source_unit = Unit::character;
  Unit target_unit = Unit::character;
  Vocabulary source;
  Vocabulary target;
};

Example example_of(const Pair& pair, const Languages& languages);

struct SearchOptions {
  std::int64_t beams = 1;
  double length_penalty = 0;      // see nn::BeamOptions
  std::int64_t max_length = 100;  // target symbols, the end included
};

struct Translation {
  std::string text;
  std::vector<std::string> source;  // units
  std::vector<std::string> target;
  tapeloop::Tensor weights;  // [target units + 1 if it ended; S or more]
  bool ended = false;        // false: cut off at max_length
  // Units of the source that the vocabulary does not have, each once.
  std::vector<std::string> unknown;
};

// How well a model translates pairs that it did not learn from.
struct Measures {
  std::int64_t pairs = 0;
  // The negative log-likelihood of the target's symbols, the end included.
  double nats_per_symbol = 0;
  double exact = 0;                  // share of translations that are equal to the target, 0 to 1
  double translate_seconds = 0;      // of all translations
  double translate_cpu_seconds = 0;  // the same, of all threads
  // Of order 4 over characters, 0 to 100; empty if no target has four characters.
  std::optional<double> bleu;
};

class Translator {
 public:
  Translator(Languages languages, const ModelOptions& options, tapeloop::Random& random);

  // Takes texts of 1 or more units each; the caller must refuse texts that are too long. Runs the
  // model once for up to 100 texts.
  std::vector<Translation> translate(std::span<const std::string> texts,
                                     const SearchOptions& options) const;
  // The sum of nats over the symbols of these pairs, and the number of symbols.
  struct Likelihood {
    double nats = 0;
    std::int64_t symbols = 0;
  };
  Likelihood likelihood(std::span<const Example> examples) const;
  // Also translates the sources, for exact match and BLEU.
  Measures measure(std::span<const Pair> pairs, const SearchOptions& options) const;

  const Languages& languages() const { return languages_; }
  const Model& model() const { return model_; }

 private:
  Languages languages_;
  Model model_;
};

}  // namespace seq2seq
