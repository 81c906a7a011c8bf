// SPDX-License-Identifier: MIT
// A model and its two vocabularies: text to text. It does not train.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "examples/seq2seq/batches.h"
#include "examples/seq2seq/model.h"
#include "examples/seq2seq/pairs.h"
#include "examples/seq2seq/text.h"
#include "examples/seq2seq/vocabulary.h"

namespace seq2seq {

// What both sides are made of, and the symbols known of each.
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
  bool copy_unknown =
      true;  // an unknown symbol of the target is replaced by the source's unit that it looked at most
};

struct Translation {
  std::string text;
  std::vector<std::string> source;  // units
  std::vector<std::string> target;
  tapeloop::Tensor weights;  // [target units, and one for the end where it came; S or more]
  bool ended = false;        // false: cut off at the greatest length
  std::vector<std::string>
      unknown;  // units of the source that the vocabulary does not have, each once
};

// How a model does on pairs it did not learn from.
struct Measures {
  std::int64_t pairs = 0;
  double nats_per_symbol =
      0;             // the negative log-likelihood of the target's symbols, the end included
  double exact = 0;  // share of translations that are equal to the target, 0 to 1
  double translate_seconds = 0;      // of all translations
  double translate_cpu_seconds = 0;  // the same, of all threads
  // Of order 4 over characters, 0 to 100; none where no target has four of them: there is nothing to match.
  std::optional<double> bleu;
};

class Translator {
 public:
  Translator(Languages languages, const ModelOptions& options, tapeloop::Random& random);

  // Texts of 1 or more units each; longer ones are the caller's to refuse. One call of the model for up to 100 texts.
  std::vector<Translation> translate(std::span<const std::string> texts,
                                     const SearchOptions& options) const;
  // The sum of nats over the symbols of these pairs, and how many symbols.
  struct Likelihood {
    double nats = 0;
    std::int64_t symbols = 0;
  };
  Likelihood likelihood(std::span<const Example> examples) const;
  // Translates the sources too: exact match and BLEU.
  Measures measure(std::span<const Pair> pairs, const SearchOptions& options) const;

  const Languages& languages() const { return languages_; }
  const Model& model() const { return model_; }

 private:
  Languages languages_;
  Model model_;
};

}  // namespace seq2seq
