// SPDX-License-Identifier: MIT
// Parser of the corpus text: lines, then headers and systems, then bars, then slots.
// It refuses everything that it does not understand, so that no model learns a typing error.
#include "examples/jazz/music/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "examples/common/text.h"

namespace jazz {
namespace {

constexpr int kSlotsPerBar = 8;
constexpr int kSlot = kTicksPerQuarter / 2;
constexpr int kTripletSlot = kTicksPerQuarter / 3;
constexpr int kBar = kSlotsPerBar * kSlot;
constexpr char kBlank = ' ';

struct Line {
  int number;
  std::string_view text;  // without white space at either end
};

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::vector<Line> split_lines(std::string_view text) {
  std::vector<Line> lines;
  int number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = trim(text.substr(0, end));
    ++number;
    if (!line.starts_with('#')) lines.push_back({number, line});
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

// Words of a bar; a parenthesis is a separate word.
std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  while (!(text = trim(text)).empty()) {
    std::size_t size = 1;
    if (text[0] != '(' && text[0] != ')') size = text.find_first_of(" ()");
    words.push_back(text.substr(0, size));
    text.remove_prefix(std::min(size, text.size()));
  }
  return words;
}

// Bars of a line. Ignores a '|' at the very beginning or end.
std::vector<std::string_view> split_bars(std::string_view text) {
  if (text.starts_with('|')) text.remove_prefix(1);
  if (text.ends_with('|')) text.remove_suffix(1);
  std::vector<std::string_view> bars;
  for (;;) {
    const auto end = text.find('|');
    bars.push_back(trim(text.substr(0, end)));
    if (end == std::string_view::npos) return bars;
    text.remove_prefix(end + 1);
  }
}

// Decodes the text and replaces white space of any kind by spaces.
std::string plain_text(std::string_view text, std::string_view file) {
  try {
    return common::with_plain_spaces(common::decode_text(std::string(text), std::string(file)));
  } catch (const common::TextError& error) {
    throw CorpusError(file, std::max(1, static_cast<int>(error.line())), error.problem());
  }
}

class Parser {
 public:
  Parser(std::string_view text, std::string_view file)
      : file_(file), text_(plain_text(text, file)), lines_(split_lines(text_)) {}

  std::vector<Tune> parse() {
    std::vector<Tune> tunes;
    skip_blank_lines();
    while (next_ < lines_.size()) {
      tunes.push_back(parse_tune());
      skip_blank_lines();
    }
    if (tunes.empty()) fail("the text holds no tune, expected a line 'tune: TITLE'");
    return tunes;
  }

 private:
  [[noreturn]] void fail(std::string_view problem) const {
    int line = lines_.empty() ? 1 : lines_.back().number;
    if (next_ < lines_.size()) line = lines_[next_].number;
    throw CorpusError(file_, line, common::printable(problem));
  }

  void skip_blank_lines() {
    while (next_ < lines_.size() && lines_[next_].text.empty()) ++next_;
  }

  std::string_view here() const { return next_ < lines_.size() ? lines_[next_].text : ""; }

  std::string_view parse_header(std::string_view name) {
    std::string_view line = here();
    if (!line.starts_with(name)) {
      fail(fmt::format("found '{}', expected a line '{} ...' (headers: tune, form, key, tempo)",
                       line, name));
    }
    line = trim(line.substr(name.size()));
    if (line.empty()) fail(fmt::format("'{}' is followed by nothing", name));
    return line;
  }

  Tune parse_tune() {
    Tune tune;
    tune.title = parse_header("tune:");
    ++next_;
    tune.form = parse_header("form:");
    ++next_;
    const std::string_view key_text = parse_header("key:");
    const auto key = parse_key(plain_symbol(key_text));
    if (!key) fail(fmt::format("unknown key '{}', expected for example F, Bb or Cm", key_text));
    tune.key = *key;
    ++next_;
    const std::string_view tempo_text = parse_header("tempo:");
    int tempo = 0;
    const auto end = tempo_text.data() + tempo_text.size();
    const auto parsed = std::from_chars(tempo_text.data(), end, tempo);
    if (parsed.ec != std::errc() || parsed.ptr != end || tempo < 20 || tempo > 400) {
      fail(fmt::format("tempo '{}', expected a whole number from 20 to 400", tempo_text));
    }
    tune.tempo = tempo;
    ++next_;
    if (!here().empty()) fail("expected a blank line after the four headers");
    skip_blank_lines();

    sounding_ = false;
    while (next_ < lines_.size() && !here().starts_with("tune:")) {
      parse_system(tune);
      skip_blank_lines();
    }
    if (tune.chords.empty()) fail(fmt::format("tune '{}' has no bars", tune.title));
    sort_notes(tune.notes);
    return tune;
  }

  void parse_system(Tune& tune) {
    const auto chords = split_bars(here());
    const int begin = length_of(tune);
    for (std::size_t bar = 0; bar < chords.size(); ++bar) {
      parse_chords(chords[bar], bar + 1, begin + static_cast<int>(bar) * kBar, tune);
    }
    ++next_;
    if (here().empty() || here().starts_with("tune:")) {
      fail("expected the melody line that belongs to the chord line above it");
    }
    const auto melody = split_bars(here());
    if (melody.size() != chords.size()) {
      fail(fmt::format("the melody line has {} bars, expected {} as in the chord line above it",
                       melody.size(), chords.size()));
    }
    for (std::size_t bar = 0; bar < melody.size(); ++bar) {
      parse_melody(melody[bar], bar + 1, begin + static_cast<int>(bar) * kBar, tune);
    }
    ++next_;
  }

  void parse_chords(std::string_view text, std::size_t bar, int begin, Tune& tune) const {
    const auto words = split_words(text);
    if (words.size() != 1 && words.size() != 2 && words.size() != 4) {
      fail(fmt::format("bar {} has {} chords ('{}'), expected 1, 2 or 4", bar, words.size(), text));
    }
    const int length = kBar / static_cast<int>(words.size());
    for (std::size_t i = 0; i < words.size(); ++i) {
      const auto chord = parse_chord(plain_symbol(words[i]));
      if (!chord) {
        fail(
            fmt::format("bar {}: unknown chord '{}', expected a root A-G (b or #) and maj7, 6, 7, "
                        "m7, m6, m7b5, dim7, sus or the like, or NC",
                        bar, words[i]));
      }
      tune.chords.push_back({begin + static_cast<int>(i) * length, length, *chord});
    }
  }

  void parse_melody(std::string_view text, std::size_t bar, int begin, Tune& tune) {
    const auto words = split_words(text);
    int slots = 0;
    for (std::size_t i = 0; i < words.size(); ++slots) {
      const int tick = begin + slots * kSlot;
      if (words[i] != "(") {
        parse_slot(words[i++], bar, tick, kSlot, tune);
        continue;
      }
      if (i + 4 >= words.size() || words[i + 4] != ")") {
        fail(fmt::format("bar {}: a triplet must be '(' three tokens ')', found '{}'", bar, text));
      }
      for (int k = 0; k < 3; ++k) {
        parse_slot(words[i + 1 + static_cast<std::size_t>(k)], bar, tick + k * kTripletSlot,
                   kTripletSlot, tune);
      }
      i += 5;
      ++slots;
    }
    if (slots != kSlotsPerBar) {
      fail(fmt::format("bar {} has {} slots, expected {}: '{}'", bar, slots, kSlotsPerBar, text));
    }
  }

  void parse_slot(std::string_view word, std::size_t bar, int tick, int length, Tune& tune) {
    if (word == ".") {
      sounding_ = false;
    } else if (word == "-") {
      if (!sounding_) fail(fmt::format("bar {}: '-' has no sounding note to hold; use '.'", bar));
      tune.notes.back().length += length;
    } else {
      const auto pitch = parse_pitch(plain_symbol(word));
      if (!pitch) {
        fail(
            fmt::format("bar {}: found '{}', expected a pitch such as c5, bb4 or f#5, '-', '.' or "
                        "a triplet '(c5 d5 e5)'",
                        bar, word));
      }
      if (*pitch < kLowestMelody || *pitch > kHighestMelody) {
        fail(fmt::format("bar {}: '{}' is outside the range g3 to c6", bar, word));
      }
      tune.notes.push_back({tick, length, *pitch, kDefaultVelocity});
      sounding_ = true;
    }
  }

  std::string_view file_;
  std::string text_;
  std::vector<Line> lines_;
  std::size_t next_ = 0;
  bool sounding_ = false;
};

}  // namespace

CorpusError::CorpusError(std::string_view file, int line, std::string_view problem)
    : std::runtime_error(fmt::format("{}:{}: {}", file, line, problem)), line_(line) {}

std::vector<Tune> parse_corpus(std::string_view text, std::string_view file) {
  return Parser(text, file).parse();
}

}  // namespace jazz
