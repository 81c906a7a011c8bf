// SPDX-License-Identifier: MIT
// Columns of a file, checked line by line.
#include "examples/seq2seq/pairs.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "autograd/error.h"
#include "autograd/files.h"
#include "examples/common/hash.h"
#include "examples/seq2seq/text.h"
#include "phrase_book.h"

namespace seq2seq {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\r'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

std::string plural(std::int64_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// For a message: not more than a line of it.
std::string shown(std::string_view line) {
  constexpr std::size_t kMost = 60;
  std::string text;
  for (const std::string& one : characters(line)) {
    if (text.size() + one.size() > kMost) return text + "...";
    text += one == "\r" ? "" : one;
  }
  return text;
}

Pair parse_line(std::string_view line, const std::string& place) {
  if (const auto bad = first_invalid_utf8(line)) {
    tapeloop::fail(place.c_str(),
                   fmt::format("byte {} of the line (0x{:02x}) is not UTF-8; convert the file, for "
                               "example by `iconv -f latin1 -t utf-8`",
                               *bad + 1, static_cast<unsigned char>(line[*bad])));
  }
  if (line.find('\0') != std::string_view::npos) {
    tapeloop::fail(place.c_str(),
                   "the line has a NUL byte; if the file is UTF-16, convert it by `iconv -f utf-16 "
                   "-t utf-8`");
  }
  const std::size_t tab = line.find('\t');
  if (tab == std::string_view::npos) {
    tapeloop::fail(place.c_str(),
                   fmt::format("there is one column, \"{}\"; expected source TAB target, and "
                               "anything after another TAB",
                               shown(line)));
  }
  const std::string_view rest = line.substr(tab + 1);
  const std::string_view source = trimmed(line.substr(0, tab));
  const std::string_view target = trimmed(rest.substr(0, rest.find('\t')));
  const bool no_source = words(source).empty();  // spaces of any kind
  if (no_source || words(target).empty()) {
    tapeloop::fail(
        place.c_str(),
        fmt::format("the {} is empty in \"{}\"; expected source TAB target: complete the line "
                    "or remove it",
                    no_source ? "source" : "target", shown(line)));
  }
  return {composed(source), composed(target)};
}

}  // namespace

std::string PairFile::report() const {
  std::string text = plural(static_cast<std::int64_t>(pairs.size()), "pair");
  std::string skipped;
  if (empty_lines > 0) skipped = plural(empty_lines, "empty line");
  if (repeated > 0) skipped += (skipped.empty() ? "" : ", ") + plural(repeated, "repeated pair");
  return skipped.empty() ? text : text + "; skipped: " + skipped;
}

PairFile parse_pairs(std::string_view text, const std::string& name) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    throw tapeloop::FileError(
        name + ": this is UTF-16; convert it, for example by `iconv -f utf-16 -t utf-8`");
  }
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  PairFile file;
  std::set<std::pair<std::string, std::string>> seen;
  for (std::int64_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (trimmed(line).empty()) {
      ++file.empty_lines;
      continue;
    }
    Pair pair = parse_line(line, fmt::format("{}, line {}", name, number));
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
  tapeloop::InputFile file(path);
  std::string text(file.size(), '\0');
  file.read(text.data(), text.size());
  return parse_pairs(text, path);
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
