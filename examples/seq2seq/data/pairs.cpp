// SPDX-License-Identifier: MIT
// Columns of a file, checked line by line.
#include "examples/seq2seq/data/pairs.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>
#include <utility>

#include "examples/common/hash.h"
#include "examples/common/text.h"
#include "examples/seq2seq/data/text.h"
#include "phrase_book.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/markup.h"

namespace seq2seq {
namespace {

using tapeloop::nn::utf8_length;

std::string plural(std::int64_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// Shortens a line for a message.
std::string shown(std::string_view line) {
  constexpr std::size_t kMost = 60;
  std::size_t size = 0;
  while (size < line.size()) {
    const std::size_t next = size + std::max<std::size_t>(1, utf8_length(line.substr(size)));
    if (next > kMost) return common::printable(line.substr(0, size)) + "...";
    size = next;
  }
  return common::printable(line);
}

struct Line {
  std::int64_t number;
  std::string_view text;
  std::string_view source, target;  // trimmed
};

[[noreturn]] void fail_at(const std::string& name, const Line& line, const std::string& problem) {
  tapeloop::fail(fmt::format("{}, line {}", name, line.number).c_str(), problem);
}

Line parse_line(std::string_view text, std::int64_t number, const std::string& name) {
  constexpr std::size_t kMostBytes = 1 << 20;
  Line line{number, text, {}, {}};
  if (text.size() > kMostBytes) {
    fail_at(name, line,
            fmt::format("the line has {} bytes, expected at most {}; split it, or remove it",
                        text.size(), kMostBytes));
  }
  const std::size_t tab = text.find('\t');
  if (tab == std::string_view::npos) {
    fail_at(name, line,
            fmt::format("there is one column, \"{}\"; expected source TAB target, and anything "
                        "after another TAB",
                        shown(text)));
  }
  const std::string_view rest = text.substr(tab + 1);
  line.source = common::trimmed(text.substr(0, tab));
  line.target = common::trimmed(rest.substr(0, rest.find('\t')));
  if (line.source.empty() || line.target.empty()) {
    fail_at(name, line,
            fmt::format("the {} is empty in \"{}\"; expected source TAB target: complete the line "
                        "or remove it",
                        line.source.empty() ? "source" : "target", shown(text)));
  }
  return line;
}

// --- quotation marks of spreadsheet programs ---

bool has_odd_marks(std::string_view field) {
  return std::count(field.begin(), field.end(), '"') % 2 == 1;
}

// opens(): the sentence begins with a quotation mark that has no partner. closes(): it ends with
// one.
bool opens(std::string_view field) { return field.starts_with('"') && has_odd_marks(field); }
bool closes(std::string_view field) {
  return field.size() > 1 && field.ends_with('"') && has_odd_marks(field);
}

bool is_quoted(std::string_view field);
bool is_of_a_spreadsheet(const std::vector<Line>& lines, const std::set<const char*>& except = {});

// A quoted sentence that contains a TAB or a line end must not become two halves. Speech over two
// lines of a text looks the same as a sentence cut by a line end. The other sentences show whether
// a spreadsheet program wrote the file.
void check_no_field_is_cut(const std::vector<Line>& lines, const std::string& name) {
  std::set<const char*> halves;
  std::function<void()> refuse;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::vector<std::string_view> columns;
    for (std::string_view rest = lines[i].text;;) {
      const std::size_t tab = std::min(rest.find('\t'), rest.size());
      columns.push_back(common::trimmed(rest.substr(0, tab)));
      if (tab == rest.size()) break;
      rest.remove_prefix(tab + 1);
    }
    for (std::size_t c = 0; c + 1 < columns.size(); ++c) {
      if (!opens(columns[c]) || !closes(columns[c + 1])) continue;
      fail_at(name, lines[i],
              fmt::format("the quoted text {} goes on after a TAB; write a space instead",
                          shown(columns[c])));
    }
    if (i + 1 == lines.size() || !opens(columns.back()) || !closes(lines[i + 1].source)) continue;
    halves.insert({columns.back().data(), lines[i + 1].source.data()});
    if (refuse) continue;
    refuse = [&name, line = lines[i], next = lines[i + 1].number, half = columns.back()] {
      fail_at(
          name, line,
          fmt::format("the quoted text {} goes on in line {}; join the lines", shown(half), next));
    };
  }
  if (refuse && is_of_a_spreadsheet(lines, halves)) refuse();
}

// True if the sentence begins and ends with a mark and has only doubled marks inside.
bool is_quoted(std::string_view field) {
  if (field.size() < 2 || !field.starts_with('"') || !field.ends_with('"')) return false;
  const std::string_view inside = field.substr(1, field.size() - 2);
  for (std::size_t i = inside.find('"'); i < inside.size(); i = inside.find('"', i + 2)) {
    if (i + 1 == inside.size() || inside[i + 1] != '"') return false;
  }
  return true;
}

std::string without_quotes(std::string_view field) {
  std::string result;
  for (std::size_t i = 1; i + 1 < field.size(); ++i) {
    result += field[i];
    if (field[i] == '"') ++i;
  }
  return result;
}

// `except` holds the starts of sentences to ignore.
bool is_of_a_spreadsheet(const std::vector<Line>& lines, const std::set<const char*>& except) {
  std::size_t fields = 0, quoted = 0;
  bool doubled = false;
  bool by_commas = true;
  for (const Line& line : lines) {
    for (const std::string_view field : {line.source, line.target}) {
      if (except.contains(field.data())) continue;
      ++fields;
      const bool comma = field.find(',') != std::string_view::npos;
      if (is_quoted(field)) {
        ++quoted;
        if (std::count(field.begin(), field.end(), '"') > 2) doubled = true;
        if (!comma) by_commas = false;
      } else if (field.find('"') != std::string_view::npos) {
        return false;
      } else if (comma) {
        by_commas = false;
      }
    }
  }
  return quoted > 0 && (doubled || by_commas || quoted == fields);
}

}  // namespace

std::string PairFile::report() const {
  std::string text = plural(static_cast<std::int64_t>(pairs.size()), "pair");
  std::string skipped;
  if (empty_lines > 0) skipped = plural(empty_lines, "empty line");
  if (repeated > 0) skipped += (skipped.empty() ? "" : ", ") + plural(repeated, "repeated pair");
  if (!skipped.empty()) text += "; skipped: " + skipped;
  if (unquoted > 0) {
    text += fmt::format("; a spreadsheet's quotation marks are dropped around {}",
                        plural(unquoted, "sentence"));
  }
  return text;
}

PairFile parse_pairs(std::string_view bytes, const std::string& name) {
  const std::string decoded = common::decode_text(std::string(bytes), name);
  PairFile file;
  std::vector<Line> lines;
  std::string_view text = decoded;
  for (std::int64_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (common::trimmed(line).empty()) {
      ++file.empty_lines;
    } else {
      lines.push_back(parse_line(line, number, name));
    }
  }
  check_no_field_is_cut(lines, name);
  const bool spreadsheet = is_of_a_spreadsheet(lines);
  const auto sentence = [&](const Line& line, std::string_view field) {
    if (!spreadsheet || !is_quoted(field)) return composed(field);
    ++file.unquoted;
    const std::string plain = without_quotes(field);
    const std::string_view inside = common::trimmed(plain);
    if (inside.empty()) {
      fail_at(name, line,
              fmt::format("there is nothing between the quotation marks in \"{}\"; complete the "
                          "line or remove it",
                          shown(line.text)));
    }
    return composed(inside);
  };
  std::set<std::pair<std::string, std::string>> seen;
  for (const Line& line : lines) {
    Pair pair{sentence(line, line.source), sentence(line, line.target)};
    if (seen.emplace(pair.source, pair.target).second) {
      file.pairs.push_back(std::move(pair));
    } else {
      ++file.repeated;
    }
  }
  if (file.pairs.empty()) {
    throw tapeloop::FileError(name +
                              ": there is no pair in it; expected lines of source TAB target");
  }
  return file;
}

PairFile read_pairs(const std::string& path) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;
  return parse_pairs(tapeloop::read_file(path, kMostBytes), path);
}

const std::vector<Pair>& phrase_book() {
  static const std::vector<Pair> pairs = parse_pairs(kPhraseBook, "the phrase book").pairs;
  return pairs;
}

Split split_by_source(std::vector<Pair> pairs, int validation_permille, int test_permille) {
  Split split;
  for (Pair& pair : pairs) {
    const int place = static_cast<int>(common::fnv1a(pair.source) % 1000);
    (place < test_permille                         ? split.test
     : place < test_permille + validation_permille ? split.validation
                                                   : split.train)
        .push_back(std::move(pair));
  }
  return split;
}

std::vector<std::size_t> fill_empty_parts(std::span<std::vector<Pair>* const> parts,
                                          std::string Pair::*key) {
  std::vector<std::size_t> filled;
  for (std::size_t place = 0; place < parts.size(); ++place) {
    if (!parts[place]->empty()) continue;
    std::vector<Pair>* giver = nullptr;
    std::size_t most = 1;
    for (std::vector<Pair>* part : parts) {
      std::set<std::string_view> different;
      for (const Pair& pair : *part) different.insert(pair.*key);
      if (different.size() <= most) continue;
      most = different.size();
      giver = part;
    }
    if (giver == nullptr) continue;
    const auto rank = [&](const Pair& pair) {
      return std::pair(common::fnv1a(pair.*key), std::string_view(pair.*key));
    };
    const auto least =
        std::min_element(giver->begin(), giver->end(),
                         [&](const Pair& a, const Pair& b) { return rank(a) < rank(b); });
    const std::string taken = (*least).*key;
    const auto first = std::stable_partition(giver->begin(), giver->end(),
                                             [&](const Pair& pair) { return pair.*key != taken; });
    std::move(first, giver->end(), std::back_inserter(*parts[place]));
    giver->erase(first, giver->end());
    filled.push_back(place);
  }
  return filled;
}

}  // namespace seq2seq
