// SPDX-License-Identifier: MIT
// BLEU by counting n-grams, and the other measures.
#include "tapeloop/nn/decode/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/markup.h"

namespace tapeloop::nn {

namespace {

void check_count(const char* name, std::int64_t count) {
  if (count < 1) fail(name, fmt::format("count is {}, expected at least one symbol", count));
}

using Ngram = std::span<const std::string>;
struct InOrder {
  bool operator()(Ngram a, Ngram b) const {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
  }
};
using Counts = std::map<Ngram, std::int64_t, InOrder>;

Counts count_ngrams(const Tokens& tokens, std::size_t order) {
  Counts counts;
  const Ngram all(tokens);
  for (std::size_t i = 0; i + order <= all.size(); ++i) ++counts[all.subspan(i, order)];
  return counts;
}

// all: the number of n-grams of a translation. found: those in some reference, each counted at most
// as often as in that reference.
struct Matches {
  double found = 0;
  double all = 0;
};

void add_matches(const Tokens& translation, std::span<const Tokens> references, std::size_t order,
                 Matches& sum) {
  Counts allowed;
  for (const Tokens& reference : references) {
    for (const auto& [ngram, count] : count_ngrams(reference, order)) {
      std::int64_t& most = allowed[ngram];
      most = std::max(most, count);
    }
  }
  for (const auto& [ngram, count] : count_ngrams(translation, order)) {
    sum.all += static_cast<double>(count);
    if (auto known = allowed.find(ngram); known != allowed.end()) {
      sum.found += static_cast<double>(std::min(count, known->second));
    }
  }
}

// The length of the reference closest in length; the shorter one if two are equally close.
std::int64_t closest_length(const Tokens& translation, std::span<const Tokens> references) {
  const auto own = static_cast<std::int64_t>(translation.size());
  std::int64_t best = -1;
  for (const Tokens& reference : references) {
    const auto length = static_cast<std::int64_t>(reference.size());
    const std::int64_t distance = std::abs(length - own), before = std::abs(best - own);
    if (best < 0 || distance < before || (distance == before && length < best)) best = length;
  }
  return best;
}

// The score from the counts; 0 if no n-gram matches.
void score(std::span<const Matches> matches, const BleuOptions& options, Bleu& bleu) {
  const bool add = options.smoothing == BleuSmoothing::add_k;
  const double value = options.value >= 0 ? options.value : add ? 1.0 : 0.1;
  double half = 1;
  double logs = 0;
  int orders = options.order;
  bool zero = true;
  for (const Matches& m : matches) zero = zero && m.found == 0;
  for (std::size_t n = 0; n < matches.size() && !zero; ++n) {
    double found = matches[n].found, all = matches[n].all;
    if (add && n > 0) {
      found += value;
      all += value;
    }
    if (all == 0) {
      // Longer n-grams do not exist either. They have precision 0, or effective_order omits them.
      if (options.effective_order) orders = static_cast<int>(n);
      zero = !options.effective_order;
      break;
    }
    if (found == 0) {
      half /= 2;
      found = options.smoothing == BleuSmoothing::exp     ? half
              : options.smoothing == BleuSmoothing::floor ? value
                                                          : 0;
    }
    bleu.precisions[n] = 100 * found / all;
    logs += std::log(bleu.precisions[n]);
  }
  bleu.score = zero ? 0 : bleu.brevity_penalty * std::exp(logs / orders);
}

}  // namespace

double bits_per_character(double nats, std::int64_t count) {
  check_count("bits_per_character", count);
  return nats / static_cast<double>(count) / std::numbers::ln2;
}
double perplexity(double nats, std::int64_t count) {
  check_count("perplexity", count);
  return std::exp(nats / static_cast<double>(count));
}

void detail::check_pairs(const char* name, std::size_t a, std::size_t b) {
  if (a != b || a == 0) {
    fail(name, fmt::format("{} sequences were given for {} references; expected as many sequences "
                           "as references, and at least one",
                           a, b));
  }
}

Bleu corpus_bleu(std::span<const Tokens> translations,
                 std::span<const std::vector<Tokens>> references, const BleuOptions& options) {
  detail::check_pairs("corpus_bleu", translations.size(), references.size());
  if (options.order < 1) {
    fail("corpus_bleu", fmt::format("order is {}, expected 1 or more", options.order));
  }
  Bleu bleu;
  std::vector<Matches> matches(static_cast<std::size_t>(options.order));
  bleu.precisions.resize(matches.size(), 0.0);
  for (std::size_t i = 0; i < translations.size(); ++i) {
    if (references[i].empty()) {
      fail("corpus_bleu", fmt::format("translation {} has no reference; give at least one", i));
    }
    bleu.length += static_cast<std::int64_t>(translations[i].size());
    bleu.reference_length += closest_length(translations[i], references[i]);
    for (std::size_t n = 0; n < matches.size(); ++n) {
      add_matches(translations[i], references[i], n + 1, matches[n]);
    }
  }
  const auto length = static_cast<double>(bleu.length);
  const auto wanted = static_cast<double>(bleu.reference_length);
  bleu.brevity_penalty = length >= wanted ? 1 : length == 0 ? 0 : std::exp(1 - wanted / length);
  score(matches, options, bleu);
  return bleu;
}

Bleu corpus_bleu(std::span<const Tokens> translations, std::span<const Tokens> references,
                 const BleuOptions& options) {
  std::vector<std::vector<Tokens>> lists;
  for (const Tokens& reference : references) lists.push_back({reference});
  return corpus_bleu(translations, std::span<const std::vector<Tokens>>(lists), options);
}

Tokens characters(std::string_view text) {
  Tokens result;
  while (!text.empty()) {
    result.emplace_back(text.substr(0, std::max<std::size_t>(1, utf8_length(text))));
    text.remove_prefix(result.back().size());
  }
  return result;
}

}  // namespace tapeloop::nn
