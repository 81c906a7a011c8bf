// SPDX-License-Identifier: MIT
// Measures of sequences: BLEU against sacrebleu's figures for the same tokens, edit distance
// against its definition.
#include "tapeloop/nn/decode/metrics.h"

#include "tests/support.h"

namespace tapeloop::nn {
namespace {

Tokens words(const std::string& text) {
  Tokens result;
  std::string word;
  for (char c : text + " ") {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      result.push_back(std::exchange(word, {}));
    }
  }
  return result;
}
std::vector<Tokens> texts(std::initializer_list<const char*> list) {
  std::vector<Tokens> result;
  for (const char* text : list) result.push_back(words(text));
  return result;
}

const std::vector<Tokens> kFound = texts({"the cat sat on the mat", "there is a dog", "a b",
                                          "he said that it was a very good day today", "x"});
const std::vector<Tokens> kExpected = texts({"the cat is on the mat", "there is a dog in the house",
                                             "a b", "he said it was a very good day", "y"});

double bleu(const std::vector<Tokens>& found, const std::vector<Tokens>& expected,
            const BleuOptions& options = {}) {
  return corpus_bleu(found, std::span<const Tokens>(expected), options).score;
}

TEST_CASE("BLEU with one reference is sacrebleu's, all parts of it") {
  const Bleu b = corpus_bleu(kFound, std::span<const Tokens>(kExpected));
  CHECK(b.score == doctest::Approx(54.94790160451918).epsilon(1e-13));
  CHECK(b.brevity_penalty == doctest::Approx(0.9574533680683809).epsilon(1e-13));
  CHECK(b.length == 23);
  CHECK(b.reference_length == 24);
  const double precisions[] = {82.6086956521739, 72.22222222222223, 50.0, 36.36363636363637};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(b.precisions.at(i) == doctest::Approx(precisions[i]).epsilon(1e-13));
  }
  CHECK(bleu(kFound, kExpected, {.smoothing = BleuSmoothing::add_k}) ==
        doctest::Approx(58.06501635390876).epsilon(1e-13));
  CHECK(bleu(kFound, kExpected, {.smoothing = BleuSmoothing::add_k, .value = 0.5}) ==
        doctest::Approx(56.58698645019825).epsilon(1e-13));
  CHECK(bleu(kFound, kExpected, {.order = 2}) == doctest::Approx(73.95472684005946).epsilon(1e-13));
}

TEST_CASE("BLEU with two references clips by the more frequent and is as long as the closer") {
  const std::vector<Tokens> second = texts({"a cat sat on a mat", "a dog is there", "b a c",
                                            "he told us that it was a good day today", "x z"});
  std::vector<std::vector<Tokens>> both;
  for (std::size_t i = 0; i < kFound.size(); ++i) both.push_back({kExpected[i], second[i]});
  const auto score = [&](const BleuOptions& options) {
    return corpus_bleu(kFound, std::span<const std::vector<Tokens>>(both), options);
  };
  const Bleu b = score({});
  CHECK(b.score == doctest::Approx(74.41430413821594).epsilon(1e-13));
  CHECK(b.reference_length == 23);
  CHECK(b.brevity_penalty == 1);
  CHECK(score({.smoothing = BleuSmoothing::add_k}).score ==
        doctest::Approx(76.77106823240784).epsilon(1e-13));
}

TEST_CASE("orders without a match are smoothed as sacrebleu smooths them") {
  const std::vector<Tokens> found = texts({"a b c d", "e f", "g"});
  const std::vector<Tokens> expected = texts({"a b d c", "f e", "h"});
  const auto score = [&](BleuSmoothing smoothing) {
    return bleu(found, expected, {.smoothing = smoothing});
  };
  CHECK(score(BleuSmoothing::none) == 0);
  CHECK(score(BleuSmoothing::exp) == doctest::Approx(34.018746665856014).epsilon(1e-13));
  CHECK(score(BleuSmoothing::floor) == doctest::Approx(18.092176081223297).epsilon(1e-13));
  CHECK(score(BleuSmoothing::add_k) == doctest::Approx(48.892302243490086).epsilon(1e-13));
}

TEST_CASE("texts shorter than the order count as 0, or by the orders that they have") {
  const std::vector<Tokens> two = texts({"a b"});
  CHECK(bleu(two, two) == 0);
  CHECK(bleu(two, two, {.effective_order = true}) == doctest::Approx(100).epsilon(1e-13));
  CHECK(bleu(two, two, {.smoothing = BleuSmoothing::add_k, .effective_order = true}) ==
        doctest::Approx(100).epsilon(1e-13));
  CHECK(bleu(texts({"", ""}), texts({"a b", "c"})) == 0);
}

TEST_CASE("wrong use of BLEU is named") {
  CHECK_THROWS_WITH_AS(bleu(kFound, texts({"a", "b"})),
                       doctest::Contains("5 sequences were given for 2 references"), Error);
  CHECK_THROWS_WITH_AS(bleu({}, {}), doctest::Contains("at least one"), Error);
  CHECK_THROWS_WITH_AS(bleu(kFound, kExpected, {.order = 0}),
                       "corpus_bleu: order is 0, expected 1 or more", Error);
  const std::vector<std::vector<Tokens>> none(5);
  CHECK_THROWS_WITH_AS(corpus_bleu(kFound, std::span<const std::vector<Tokens>>(none)),
                       "corpus_bleu: translation 0 has no reference; give at least one", Error);
}

TEST_CASE("characters are code points, and bytes that are no UTF-8 stand alone") {
  CHECK(characters("a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x8e\xb5") ==
        Tokens{"a", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x8e\xb5"});
  CHECK(characters("\xe4\xb8") == Tokens{"\xe4", "\xb8"});
  CHECK(characters("\xff"
                   "a\xc3") == Tokens{"\xff", "a", "\xc3"});
  CHECK(characters("\xc0\x80") == Tokens{"\xc0", "\x80"});              // overlong
  CHECK(characters("\xed\xa0\x80") == Tokens{"\xed", "\xa0", "\x80"});  // a surrogate
  // Above U+10FFFF.
  CHECK(characters("\xf5\x80\x80\x80") == Tokens{"\xf5", "\x80", "\x80", "\x80"});
  CHECK(characters("").empty());
}

// Levenshtein's recursion, as in its definition.
std::int64_t by_definition(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return static_cast<std::int64_t>(a.size() + b.size());
  const std::string a_rest = a.substr(1), b_rest = b.substr(1);
  return std::min({by_definition(a_rest, b) + 1, by_definition(a, b_rest) + 1,
                   by_definition(a_rest, b_rest) + (a[0] == b[0] ? 0 : 1)});
}

TEST_CASE("the edit distance is that of its definition") {
  CHECK(edit_distance(std::string("kitten"), std::string("sitting")) == 3);
  const char* const some[] = {"", "a", "ab", "ba", "abcab", "bacb", "ccc"};
  for (const std::string a : some) {
    for (const std::string b : some) CHECK(edit_distance(a, b) == by_definition(a, b));
  }
  CHECK(edit_distance(std::vector<std::int64_t>{1, 2, 3}, std::vector<std::int64_t>{2, 3, 4}) == 2);
}

TEST_CASE("exact match is the share of equal sequences") {
  const std::vector<std::string> a{"x", "y", "z", "w"}, b{"x", "y", "w", "w"};
  CHECK(exact_match(a, b) == 0.75);
  CHECK_THROWS_WITH_AS(exact_match(a, std::vector<std::string>{"x"}),
                       doctest::Contains("4 sequences were given for 1 references"), Error);
}

TEST_CASE("bits per character and perplexity are the likelihood per symbol") {
  CHECK(bits_per_character(10 * std::log(8.0), 10) == doctest::Approx(3).epsilon(1e-15));
  CHECK(perplexity(10 * std::log(8.0), 10) == doctest::Approx(8).epsilon(1e-14));
  CHECK_THROWS_WITH_AS(perplexity(1, 0), "perplexity: count is 0, expected at least one symbol",
                       Error);
}

}  // namespace
}  // namespace tapeloop::nn
