// SPDX-License-Identifier: MIT
// Samples of files, vocabularies and counts.
#include "examples/label/data.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cmath>

#include "examples/common/text.h"
#include "examples/seq2seq/data/text.h"

namespace label {

namespace {

constexpr std::size_t kSpelled = 24;

std::size_t largest(const std::vector<std::int64_t>& counts) {
  return static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

}  // namespace

Samples read_samples(Task task, const std::string& path, const std::string& except) {
  const bool tags = task == Task::tags;
  common::LabelledText read = common::read_labelled(
      path, tags ? common::LabelFormat::words : common::LabelFormat::texts, except);
  Samples result{.list = {}, .notes = std::move(read.notes)};
  for (common::Labelled& sample : read.list) {
    for (std::string& word : sample.words) word = seq2seq::composed(word);
    if (!tags) sample.words = seq2seq::words(lower_case(sample.words[0]));
    if (!sample.words.empty()) result.list.push_back(std::move(sample));
  }
  const std::size_t empty = read.list.size() - result.list.size();
  if (empty > 0)
    result.notes.push_back(fmt::format("{}: {} lines without words left out", path, empty));
  if (result.list.empty()) throw tapeloop::FileError(fmt::format("{}: it has no words", path));
  return result;
}

std::string lower_case(std::string_view text) {
  std::string result;
  for (const std::string& character : seq2seq::characters(text)) {
    const char32_t c = common::code_point(character);
    utf8proc_uint8_t bytes[4];
    const auto length = utf8proc_encode_char(utf8proc_tolower(static_cast<int>(c)), bytes);
    result.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(length));
  }
  return result;
}

std::vector<std::string> spelling_of(const std::string& word) {
  std::vector<std::string> all = seq2seq::characters(word);
  if (all.size() > kSpelled) all.erase(all.begin() + kSpelled / 2, all.end() - kSpelled / 2);
  return all;
}

std::int64_t Names::add(const std::string& name) {
  const auto [found, is_new] = numbers_.try_emplace(name, size());
  if (is_new) names_.push_back(name);
  return found->second;
}

std::int64_t Names::find(const std::string& name) const {
  const auto found = numbers_.find(name);
  return found == numbers_.end() ? -1 : found->second;
}

Vocabulary::Vocabulary(const std::vector<Sample>& samples) : counts{0} {
  words.add("");
  characters.add("");
  for (const Sample& sample : samples) {
    for (const std::string& word : sample.words) {
      const auto i = static_cast<std::size_t>(words.add(lower_case(word)));
      if (i == counts.size()) counts.push_back(0);
      ++counts[i];
      for (const std::string& character : spelling_of(word)) characters.add(character);
    }
    for (const std::string& name : sample.labels) labels.add(name);
  }
}

Counts::Counts(const std::vector<Sample>& samples, const Vocabulary& vocabulary)
    : labels_(static_cast<std::size_t>(vocabulary.labels.size())), totals_(labels_.size()) {
  for (const Sample& sample : samples) {
    const auto number = [&](std::size_t i) {
      return static_cast<std::size_t>(
          vocabulary.labels.find(sample.labels[sample.labels.size() == 1 ? 0 : i]));
    };
    for (std::size_t i = 0; i < sample.labels.size(); ++i) ++labels_[number(i)];
    for (std::size_t i = 0; i < sample.words.size(); ++i) {
      std::vector<std::int64_t>& row = words_[sample.words[i]];
      row.resize(labels_.size());
      ++row[number(i)];
      ++totals_[number(i)];
    }
  }
}

std::int64_t Counts::majority() const { return static_cast<std::int64_t>(largest(labels_)); }

std::int64_t Counts::of_word(const std::string& word) const {
  const auto found = words_.find(word);
  return found == words_.end() ? majority() : static_cast<std::int64_t>(largest(found->second));
}

std::int64_t Counts::of_text(const std::vector<std::string>& words) const {
  std::vector<double> scores;
  for (std::size_t k = 0; k < labels_.size(); ++k) {
    const double total = static_cast<double>(totals_[k]) + static_cast<double>(words_.size());
    scores.push_back(std::log(static_cast<double>(labels_[k])));
    for (const std::string& word : words) {
      const auto found = words_.find(word);
      if (found == words_.end()) continue;
      scores.back() += std::log((static_cast<double>(found->second[k]) + 1) / total);
    }
  }
  return std::max_element(scores.begin(), scores.end()) - scores.begin();
}

}  // namespace label
