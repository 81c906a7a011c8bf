// SPDX-License-Identifier: MIT
// Text to symbols, search, symbols to text; likelihood and the measures of translations.
#include "examples/seq2seq/translator.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "examples/common/training.h"
#include "tapeloop/autograd/ops/losses.h"
#include "tapeloop/nn/decode/metrics.h"

namespace seq2seq {

namespace nn = tapeloop::nn;
using tapeloop::Tensor;
using tapeloop::Var;

namespace {

constexpr std::size_t kAtOnce = 100;  // sentences in one call of the model

// Indices 0, 1, .. by ascending length: sentences of similar length need little padding in one
// batch.
template <class Length>
std::vector<std::size_t> by_length(std::size_t count, Length length) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return length(a) < length(b); });
  return order;
}

// An untrained model may produce the padding and start symbols. They are not units: this leaves
// them out, with their rows of weights.
struct Said {
  std::vector<std::int64_t> symbols;
  Tensor weights;
};
Said without_unsaid(const nn::Hypothesis& best) {
  Said said;
  std::vector<std::int64_t> rows;
  for (std::size_t t = 0; t < best.symbols.size(); ++t) {
    if (best.symbols[t] == kPad || best.symbols[t] == kStart) continue;
    said.symbols.push_back(best.symbols[t]);
    rows.push_back(static_cast<std::int64_t>(t));
  }
  if (best.ended) rows.push_back(static_cast<std::int64_t>(best.symbols.size()));
  if (best.weights.defined()) {
    const auto kept = static_cast<std::int64_t>(rows.size());
    said.weights = tapeloop::take(Var(best.weights), Tensor::from({kept}, rows), 0).value();
  }
  return said;
}

void note_unknown(Translation& translation, const Vocabulary& vocabulary) {
  for (const std::string& unit : translation.source) {
    const auto& known = translation.unknown;
    if (vocabulary.id(unit) == kUnknown &&
        std::find(known.begin(), known.end(), unit) == known.end()) {
      translation.unknown.push_back(unit);
    }
  }
}

}  // namespace

Example example_of(const Pair& pair, const Languages& languages) {
  return {languages.source.encode(units_of(pair.source, languages.source_unit)),
          languages.target.encode(units_of(pair.target, languages.target_unit))};
}

Translator::Translator(Languages languages, const ModelOptions& options, tapeloop::Random& random)
    : languages_(std::move(languages)),
      model_(languages_.source.size(), languages_.target.size(), options, random) {}

std::vector<Translation> Translator::translate(std::span<const std::string> texts,
                                               const SearchOptions& options) const {
  std::vector<Translation> translations(texts.size());
  std::vector<Example> examples(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    translations[i].source = units_of(texts[i], languages_.source_unit);
    examples[i].source = languages_.source.encode(translations[i].source);
    note_unknown(translations[i], languages_.source);
  }
  const auto order =
      by_length(texts.size(), [&](std::size_t i) { return examples[i].source.size(); });
  nn::BeamOptions search;
  search.start = kStart;
  search.end = kEnd;
  search.max_length = options.max_length;
  search.beams = options.beams;
  search.length_penalty = options.length_penalty;
  for (std::size_t first = 0; first < order.size(); first += kAtOnce) {
    const std::size_t last = std::min(order.size(), first + kAtOnce);
    std::vector<const Example*> some;
    for (std::size_t i = first; i < last; ++i) some.push_back(&examples[order[i]]);
    const Batch batch = make_batch(some);
    const auto found = model_.translate(batch.source, batch.source_lengths, search);
    for (std::size_t i = first; i < last; ++i) {
      Translation& translation = translations[order[i]];
      const nn::Hypothesis& best = found[i - first];
      translation.ended = best.ended;
      const auto said = without_unsaid(best);
      translation.weights = said.weights;
      translation.target =
          copied_through(said.symbols, said.weights, translation.source, languages_.target);
      translation.text = join(translation.target, languages_.target_unit);
    }
  }
  return translations;
}

Translator::Likelihood Translator::likelihood(std::span<const Example> examples) const {
  const auto order =
      by_length(examples.size(), [&](std::size_t i) { return examples[i].source.size(); });
  Likelihood total;
  for (std::size_t first = 0; first < order.size(); first += kAtOnce) {
    std::vector<const Example*> some;
    for (std::size_t i = first; i < std::min(order.size(), first + kAtOnce); ++i) {
      some.push_back(&examples[order[i]]);
    }
    const Batch batch = make_batch(some);
    const auto logits = model_(batch.source, batch.source_lengths, batch.inputs);
    total.nats += cross_entropy(logits, batch.targets, {.reduce = tapeloop::Reduce::sum}).item();
    total.symbols += batch.symbols;
  }
  return total;
}

Measures Translator::measure(std::span<const Pair> pairs, const SearchOptions& options) const {
  Measures measures;
  measures.pairs = static_cast<std::int64_t>(pairs.size());
  if (pairs.empty()) return measures;
  std::vector<Example> examples;
  std::vector<std::string> sources;
  for (const Pair& pair : pairs) {
    examples.push_back(example_of(pair, languages_));
    sources.push_back(pair.source);
  }
  const Likelihood likely = likelihood(examples);
  measures.nats_per_symbol = likely.nats / static_cast<double>(likely.symbols);
  std::vector<std::string> found, expected;
  std::vector<nn::Tokens> found_characters, expected_characters;
  const auto begin = std::chrono::steady_clock::now();
  const double cpu = common::cpu_seconds();
  const auto translations = translate(sources, options);
  measures.translate_cpu_seconds = common::cpu_seconds() - cpu;
  measures.translate_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    found.push_back(translations[i].text);
    // Joins the target's words by the program's own rule, whatever spaces the file had.
    expected.push_back(
        join(units_of(pairs[i].target, languages_.target_unit), languages_.target_unit));
    found_characters.push_back(nn::characters(found.back()));
    expected_characters.push_back(nn::characters(expected.back()));
  }
  measures.exact = nn::exact_match(found, expected);
  const bool has_four = std::any_of(expected_characters.begin(), expected_characters.end(),
                                    [](const nn::Tokens& text) { return text.size() >= 4; });
  if (has_four) measures.bleu = nn::corpus_bleu(found_characters, expected_characters).score;
  return measures;
}

}  // namespace seq2seq
