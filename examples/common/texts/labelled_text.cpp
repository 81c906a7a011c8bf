// SPDX-License-Identifier: MIT
// The formats of labelled_text.h, and files of a folder.
#include "examples/common/texts/labelled_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "examples/common/paths.h"
#include "examples/common/text.h"

namespace common {

namespace {

using tapeloop::FileError;

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;

// "# text = .." is one, "#" and "#word" before a TAB are words.
bool is_comment(std::string_view line) {
  return line.starts_with("# ") || (line.starts_with('#') && line.find('\t') == line.npos);
}

// Whether at least half of the lines have columns.
bool fits(std::string_view text) {
  std::int64_t with = 0, without = 0;
  for (const std::string_view line : split(text, '\n')) {
    if (trimmed(line).empty() || is_comment(line)) continue;
    ++(line.find('\t') == line.npos ? without : with);
  }
  return with >= without && with > 0;
}

LabelledText texts_of(std::string_view text, const std::string& name) {
  LabelledText result;
  std::int64_t number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (trimmed(line).empty()) continue;
    const std::size_t tab = line.rfind('\t');
    if (tab == line.npos)
      throw TextError(name, number, "there is no TAB; expected \"text TAB label\"");
    const std::string_view label = trimmed(line.substr(tab + 1));
    if (label.empty())
      throw TextError(name, number, "no label after the TAB; expected \"text TAB label\"");
    result.list.push_back({{std::string(line.substr(0, tab))}, {std::string(label)}});
  }
  return result;
}

LabelledText words_of(std::string_view text, const std::string& name) {
  LabelledText result;
  Labelled sentence;
  const auto end_sentence = [&] {
    if (!sentence.words.empty()) result.list.push_back(std::exchange(sentence, {}));
  };
  std::int64_t number = 0;
  std::size_t columns = 0, multiword = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (trimmed(line).empty()) {
      end_sentence();
      continue;
    }
    if (is_comment(line)) continue;
    const std::vector<std::string_view> cells = split(line, '\t');
    if (columns == 0) columns = cells.size() == 10 ? 10 : 2;  // 10: CoNLL-U
    if (columns == 10 && line.starts_with('#')) continue;
    if (cells.size() < columns) {
      throw TextError(name, number,
                      fmt::format("{} columns, expected {}", cells.size(),
                                  columns == 10 ? "the 10 of CoNLL-U" : "\"word TAB tag\""));
    }
    if (columns == 10 && cells[0].find_first_of("-.") != line.npos) {
      ++multiword;
      continue;
    }
    const std::string_view word = trimmed(cells[columns == 10 ? 1 : 0]);
    const std::string_view tag = trimmed(cells[columns == 10 ? 3 : 1]);
    if (word.empty() || tag.empty() || (columns == 10 && tag == "_")) {
      throw TextError(name, number, "the word or its tag is empty; give both");
    }
    sentence.words.emplace_back(word);
    sentence.labels.emplace_back(tag);
  }
  end_sentence();
  if (multiword > 0) {
    result.notes.push_back(
        fmt::format("{}: {} multiword tokens and empty nodes left out", name, multiword));
  }
  return result;
}

}  // namespace

LabelledText labelled_text(std::string_view text, const std::string& name, LabelFormat format) {
  return format == LabelFormat::words ? words_of(text, name) : texts_of(text, name);
}

LabelledText read_labelled(const std::string& path, LabelFormat format, const std::string& except) {
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
  LabelledText result;
  for (const std::string& file : files) {
    if (!except.empty() && same_place(file, except)) {
      result.notes.push_back(fmt::format("{}: it is the test, so it does not train", file));
      continue;
    }
    const std::string text = read_text_file(file, kMostBytes);
    if (folder && !fits(text)) {
      result.notes.push_back(fmt::format("{}: left out, most lines have no TAB", file));
      continue;
    }
    LabelledText more = labelled_text(text, file, format);
    std::move(more.list.begin(), more.list.end(), std::back_inserter(result.list));
    std::move(more.notes.begin(), more.notes.end(), std::back_inserter(result.notes));
  }
  if (result.list.empty()) {
    throw FileError(fmt::format("{}: no {} in it; expected {}", path,
                                format == LabelFormat::words ? "sentence" : "text",
                                format == LabelFormat::words ? "CoNLL-U or lines \"word TAB tag\""
                                                             : "lines \"text TAB label\""));
  }
  return result;
}

}  // namespace common
