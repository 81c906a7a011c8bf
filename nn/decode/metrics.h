// SPDX-License-Identifier: MIT
// Measures of sequence models: bits per character, perplexity, BLEU, exact match, edit distance. No
// tensors, no gradients: losses are in autograd/ops/losses.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tapeloop::nn {

// From a negative log-likelihood in nats, summed over `count` symbols: bits_per_character() is
// nats / (count ln 2), perplexity() is e^(nats / count).
double bits_per_character(double nats, std::int64_t count);
double perplexity(double nats, std::int64_t count);

// What to do if no n-gram of some order matches. Chen & Cherry 2014; names
// and results are sacrebleu's.
enum class BleuSmoothing {
  none,   // precision 0, and BLEU 0
  floor,  // `value` matches instead of 0 (default 0.1)
  add_k,  // adds `value` to matches and n-grams in every order above 1 (default 1)
  exp,    // 1/2, 1/4, .. matches for the first, second, .. order without a match
};

struct BleuOptions {
  int order = 4;                                 // n-grams of 1 to this many tokens
  BleuSmoothing smoothing = BleuSmoothing::exp;  // of orders without a match
  double value = -1;                             // for floor and add_k; negative: their default
  // Omits orders in which the translations have no n-gram; for short texts.
  bool effective_order = false;
};

// The result of corpus_bleu().
struct Bleu {
  double score = 0;                   // 0 to 100
  std::vector<double> precisions;     // for each order, 0 to 100, smoothed
  double brevity_penalty = 0;         // factor of score; 1 if the translations are long enough
  std::int64_t length = 0;            // tokens of all translations
  std::int64_t reference_length = 0;  // of the references that are closest in length
};

using Tokens = std::vector<std::string>;  // one text

// BLEU of a corpus: the geometric mean of n-gram precisions, clipped by the references, times a
// penalty for short translations. Papineni, Roukos, Ward & Zhu 2002. references[i] are one or more
// correct translations for translations[i]. Tokens are compared exactly; the caller splits texts
// into tokens. Cost: linear in the number of tokens.
Bleu corpus_bleu(std::span<const Tokens> translations,
                 std::span<const std::vector<Tokens>> references, const BleuOptions& options = {});
// The same with one reference for each translation.
Bleu corpus_bleu(std::span<const Tokens> translations, std::span<const Tokens> references,
                 const BleuOptions& options = {});
// The characters of a text, as UTF-8 code points, e.g. for BLEU of Chinese. Bytes that are not
// UTF-8 are single characters.
Tokens characters(std::string_view text);

// The minimum number of insertions, deletions and substitutions that turn a into b. Levenshtein
// 1966. O(|a| |b|) time, O(|b|) memory. For vectors, strings, and other types with size() and [].
template <class A, class B = A>
std::int64_t edit_distance(const A& a, const B& b) {
  std::vector<std::int64_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<std::int64_t>(j);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::int64_t diagonal = row[0];
    row[0] = static_cast<std::int64_t>(i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::int64_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

namespace detail {
void check_pairs(const char* name, std::size_t a, std::size_t b);
}

// The fraction of sequences that are equal to their reference, 0 to 1.
template <class S>
double exact_match(std::span<const S> found, std::span<const S> expected) {
  detail::check_pairs("exact_match", found.size(), expected.size());
  std::size_t equal = 0;
  for (std::size_t i = 0; i < found.size(); ++i) equal += found[i] == expected[i] ? 1 : 0;
  return static_cast<double>(equal) / static_cast<double>(found.size());
}
template <class S>
double exact_match(const std::vector<S>& found, const std::vector<S>& expected) {
  return exact_match(std::span<const S>(found), std::span<const S>(expected));
}

}  // namespace tapeloop::nn
