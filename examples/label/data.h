// SPDX-License-Identifier: MIT
// Sentences with labels: the files that hold them, the sentences that the program makes, and the
// numbers of words, characters and labels. Knows no model.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "examples/common/texts/labelled_text.h"
#include "tapeloop/autograd/number/random.h"

namespace label {

enum class Task {
  sentiment,  // one label for a text
  tags,       // one label for each word
};

using Sample = common::Labelled;  // words, and one label or one for each word
using Samples = common::LabelledText;

// Reads labelled_text.h's formats. Words of texts are in lower case. Texts without a word are left
// out.
Samples read_samples(Task task, const std::string& path, const std::string& except);

// Texts with negations and contrasts, or sentences with ambiguous words, by grammars of the
// program: `count` different ones, or as many as it finds.
Samples make_samples(Task task, std::int64_t count, tapeloop::Random& random);

// Names and their numbers, in the order in which they came.
class Names {
 public:
  std::int64_t add(const std::string& name);
  std::int64_t find(const std::string& name) const;  // -1: it has none
  std::int64_t size() const { return static_cast<std::int64_t>(names_.size()); }
  const std::string& operator[](std::int64_t i) const {
    return names_[static_cast<std::size_t>(i)];
  }

 private:
  std::vector<std::string> names_;
  std::map<std::string, std::int64_t, std::less<>> numbers_;
};

// Words in lower case, characters and labels of samples. Number 0 of words and characters stands
// for all others.
struct Vocabulary {
  Names words, characters, labels;
  std::vector<std::int64_t> counts;  // of each word
  explicit Vocabulary(const std::vector<Sample>& samples);
};
std::string lower_case(std::string_view text);
// At most 24 characters of a word: of a longer one the first and the last 12.
std::vector<std::string> spelling_of(const std::string& word);

// Predictions from counts alone.
class Counts {
 public:
  Counts(const std::vector<Sample>& samples, const Vocabulary& vocabulary);
  std::int64_t majority() const;  // the most frequent label
  // The most frequent label of this word, or majority() if the word is new.
  std::int64_t of_word(const std::string& word) const;
  // Naive Bayes: the largest log p(label) + sum log p(word | label), with one more word each.
  std::int64_t of_text(const std::vector<std::string>& words) const;

 private:
  std::map<std::string, std::vector<std::int64_t>, std::less<>> words_;
  std::vector<std::int64_t> labels_;  // samples, or words, of each label
  std::vector<std::int64_t> totals_;  // words of each label
};

}  // namespace label
