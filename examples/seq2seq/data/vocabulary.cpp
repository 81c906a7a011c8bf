// SPDX-License-Identifier: MIT
// Counting units, and looking them up.
#include "examples/seq2seq/data/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tapeloop/autograd/files/safetensors_header.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

Vocabulary::Vocabulary(std::span<const std::vector<std::string>> texts,
                       const VocabularyLimits& limits) {
  std::map<std::string, std::int64_t> counts;
  for (const auto& text : texts) {
    for (const std::string& unit : text) ++counts[unit];
  }
  std::vector<std::pair<std::string, std::int64_t>> order(counts.begin(), counts.end());
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [unit, count] : order) {
    if (count < limits.least_count || static_cast<std::int64_t>(units_.size()) >= limits.most)
      break;
    add(unit);
  }
}

void Vocabulary::add(const std::string& unit) {
  if (unit.empty() || !ids_.emplace(unit, size()).second) {
    tapeloop::fail("vocabulary",
                   fmt::format("line {} {} is {}; expected different lines that are not empty",
                               units_.size() + 1, tapeloop::safetensors::shown(unit),
                               unit.empty() ? "empty" : "there twice"));
  }
  units_.push_back(unit);
}

std::int64_t Vocabulary::id(const std::string& unit) const {
  const auto found = ids_.find(unit);
  return found == ids_.end() ? kUnknown : found->second;
}

std::vector<std::int64_t> Vocabulary::encode(const std::vector<std::string>& units) const {
  std::vector<std::int64_t> ids;
  ids.reserve(units.size());
  for (const std::string& unit : units) ids.push_back(id(unit));
  return ids;
}

std::vector<std::string> Vocabulary::decode(std::span<const std::int64_t> ids) const {
  std::vector<std::string> units;
  for (const std::int64_t id : ids) {
    if (id == kEnd) break;
    if (id < 0 || id >= size()) {
      tapeloop::fail("vocabulary", fmt::format("symbol {} is outside [0, {})", id, size()));
    }
    if (id == kUnknown) units.emplace_back("<unk>");
    if (id >= kSpecialSymbols)
      units.push_back(units_[static_cast<std::size_t>(id - kSpecialSymbols)]);
  }
  return units;
}

std::string Vocabulary::to_text() const {
  std::string text;
  for (const std::string& unit : units_) text += unit + '\n';
  return text;
}

Vocabulary Vocabulary::from_text(const std::string& text) {
  Vocabulary vocabulary;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = std::min(text.find('\n', i), text.size());
    vocabulary.add(text.substr(i, end - i));
    i = end + 1;
  }
  return vocabulary;
}

}  // namespace seq2seq
