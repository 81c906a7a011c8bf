// SPDX-License-Identifier: MIT
// The readers of files, vocabularies and counts.
#include "examples/label/data.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "examples/common/paths.h"
#include "examples/common/text.h"
#include "examples/seq2seq/data/text.h"

namespace label {

namespace {

using tapeloop::FileError;

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;
constexpr std::size_t kSpelled = 24;

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (std::size_t end = 0; end != text.npos;) {
    end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end != text.npos) text.remove_prefix(end + 1);
  }
  return parts;
}

[[noreturn]] void fail_at(const std::string& name, std::size_t line, const std::string& problem) {
  throw FileError(fmt::format("{}, line {}: {}", name, line, problem));
}

// "# text = .." is one, "#" and "#word" before a TAB are words.
bool is_comment(std::string_view line) {
  return line.starts_with("# ") || (line.starts_with('#') && line.find('\t') == line.npos);
}

// Whether at least half of the lines have columns.
bool fits(std::string_view text) {
  std::int64_t with = 0, without = 0;
  for (const std::string_view line : split(text, '\n')) {
    if (common::trimmed(line).empty() || is_comment(line)) continue;
    ++(line.find('\t') == line.npos ? without : with);
  }
  return with >= without && with > 0;
}

std::size_t largest(const std::vector<std::int64_t>& counts) {
  return static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

}  // namespace

std::int64_t Samples::labels() const {
  std::int64_t count = 0;
  for (const Sample& s : list) count += static_cast<std::int64_t>(s.labels.size());
  return count;
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

Samples texts_of(std::string_view text, const std::string& name) {
  Samples result;
  std::size_t number = 0, empty = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (common::trimmed(line).empty()) continue;
    const std::size_t tab = line.rfind('\t');
    if (tab == line.npos) fail_at(name, number, "there is no TAB; expected \"text TAB label\"");
    const std::string_view label = common::trimmed(line.substr(tab + 1));
    if (label.empty()) fail_at(name, number, "no label after the TAB; expected \"text TAB label\"");
    std::vector<std::string> words =
        seq2seq::words(lower_case(seq2seq::composed(line.substr(0, tab))));
    if (words.empty()) {
      ++empty;
    } else {
      result.list.push_back({std::move(words), {std::string(label)}});
    }
  }
  if (empty > 0)
    result.notes.push_back(fmt::format("{}: {} lines without words left out", name, empty));
  return result;
}

Samples tagged_of(std::string_view text, const std::string& name) {
  Samples result;
  Sample sentence;
  const auto end_sentence = [&] {
    if (!sentence.words.empty()) result.list.push_back(std::exchange(sentence, {}));
  };
  std::size_t number = 0, columns = 0, multiword = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (common::trimmed(line).empty()) {
      end_sentence();
      continue;
    }
    if (is_comment(line)) continue;
    const std::vector<std::string_view> cells = split(line, '\t');
    if (columns == 0) columns = cells.size() == 10 ? 10 : 2;  // 10: CoNLL-U
    if (columns == 10 && line.starts_with('#')) continue;
    if (cells.size() < columns) {
      fail_at(name, number,
              fmt::format("{} columns, expected {}", cells.size(),
                          columns == 10 ? "the 10 of CoNLL-U" : "\"word TAB tag\""));
    }
    if (columns == 10 && cells[0].find_first_of("-.") != line.npos) {
      ++multiword;
      continue;
    }
    const std::string_view word = common::trimmed(cells[columns == 10 ? 1 : 0]);
    const std::string_view tag = common::trimmed(cells[columns == 10 ? 3 : 1]);
    if (word.empty() || tag.empty() || (columns == 10 && tag == "_")) {
      fail_at(name, number, "the word or its tag is empty; give both");
    }
    sentence.words.push_back(seq2seq::composed(word));
    sentence.labels.emplace_back(tag);
  }
  end_sentence();
  if (multiword > 0) {
    result.notes.push_back(
        fmt::format("{}: {} multiword tokens and empty nodes left out", name, multiword));
  }
  return result;
}

Samples read_samples(Task task, const std::string& path, const std::string& except) {
  namespace fs = std::filesystem;
  std::vector<std::string> files{path};
  const bool folder = fs::is_directory(path);
  if (folder) {
    files.clear();
    for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
      const std::string ending = entry.path().extension().string();
      if (entry.is_regular_file() &&
          (ending == ".txt" || ending == ".tsv" || ending == ".conll" || ending == ".conllu")) {
        files.push_back(entry.path().string());
      }
    }
    std::sort(files.begin(), files.end());
  }
  Samples result;
  for (const std::string& file : files) {
    if (!except.empty() && common::same_place(file, except)) {
      result.notes.push_back(fmt::format("{}: it is the test, so it does not train", file));
      continue;
    }
    const std::string text = common::read_text_file(file, kMostBytes);
    if (folder && !fits(text)) {
      result.notes.push_back(fmt::format("{}: left out, most lines have no TAB", file));
      continue;
    }
    Samples more = task == Task::tags ? tagged_of(text, file) : texts_of(text, file);
    std::move(more.list.begin(), more.list.end(), std::back_inserter(result.list));
    std::move(more.notes.begin(), more.notes.end(), std::back_inserter(result.notes));
  }
  if (result.list.empty()) {
    throw FileError(fmt::format(
        "{}: no {} in it; expected {}", path, task == Task::tags ? "sentence" : "text",
        task == Task::tags ? "CoNLL-U or lines \"word TAB tag\"" : "lines \"text TAB label\""));
  }
  return result;
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
