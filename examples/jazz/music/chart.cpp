// SPDX-License-Identifier: MIT
// Reading of chord charts, and the forms that every jazz player knows.
#include "examples/jazz/music/chart.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "examples/common/text.h"

namespace jazz {
namespace {

constexpr int kBar = 4 * kTicksPerQuarter;
constexpr std::size_t kMostBars = 1000;
constexpr std::string_view kBlanks = " \n";

struct Form {
  const char* name;
  const char* title;
  const char* key;
  const char* chords;
};
constexpr Form kForms[] = {
    {"blues", "blues", "F",
     "F7 | Bb7 | F7 | Cm7 F7 | Bb7 | Bdim7 | F7 | Am7b5 D7 | Gm7 | C7 | F7 D7 | Gm7 C7"},
    {"minor_blues", "minor blues", "Cm",
     "Cm7 | Fm7 | Cm7 | C7 | Fm7 | Fm7 | Cm7 | Cm7 | Ab7 | G7 | Cm7 | Dm7b5 G7"},
    {"rhythm", "rhythm changes", "Bb",
     "Bbmaj7 G7 | Cm7 F7 | Dm7 G7 | Cm7 F7 | Fm7 Bb7 | Ebmaj7 Edim7 | Dm7 G7 | Cm7 F7 |"
     "Bbmaj7 G7 | Cm7 F7 | Dm7 G7 | Cm7 F7 | Fm7 Bb7 | Ebmaj7 Edim7 | Cm7 F7 | Bbmaj7 |"
     "D7 | D7 | G7 | G7 | C7 | C7 | F7 | F7 |"
     "Bbmaj7 G7 | Cm7 F7 | Dm7 G7 | Cm7 F7 | Fm7 Bb7 | Ebmaj7 Edim7 | Cm7 F7 | Bbmaj7"},
    {"251", "ii-V-I", "C",
     "Dm7 | G7 | Cmaj7 | Cmaj7 | Dm7 | G7 | Cmaj7 | Am7 | Bm7b5 | E7 | Am7 | A7 |"
     "Dm7 | G7 | Cmaj7 A7 | Dm7 G7"},
};

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (;;) {
    const auto first = text.find_first_not_of(kBlanks);
    if (first == std::string_view::npos) return words;
    text.remove_prefix(first);
    const auto size = std::min(text.find_first_of(kBlanks), text.size());
    words.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
}

[[noreturn]] void fail(const std::string& problem) {
  throw std::invalid_argument(common::printable(problem));
}

}  // namespace

Tune parse_chart(std::string_view given) {
  std::string plain;
  try {
    plain = common::with_plain_spaces(common::decode_text(std::string(given), "the chart"));
  } catch (const common::TextError& error) {
    throw std::invalid_argument(error.what());
  }
  std::string_view text = plain;
  Tune chart;
  chart.title = "chart";
  chart.form = "chart";
  if (words_of(text).empty()) {
    throw std::invalid_argument("the chart is empty, expected chords such as \"F7 | Bb7\"");
  }
  // Ignores a bar line at either end.
  text.remove_prefix(text.find_first_not_of(kBlanks));
  text.remove_suffix(text.size() - 1 - text.find_last_not_of(kBlanks));
  if (text.starts_with('|')) text.remove_prefix(1);
  if (text.ends_with('|')) text.remove_suffix(1);
  for (int bar = 0;; ++bar) {
    const auto end = text.find('|');
    const auto words = words_of(text.substr(0, end));
    const int count = static_cast<int>(words.size());
    if (count != 1 && count != 2 && count != 4) {
      fail(fmt::format(
          "bar {} of the chart has {} chords ('{}'), expected 1, 2 or 4; bars end with '|'",
          bar + 1, count, fmt::join(words, " ")));
    }
    for (int i = 0; i < count; ++i) {
      const auto chord = parse_chord(plain_symbol(words[static_cast<std::size_t>(i)]));
      if (!chord) {
        fail(
            fmt::format("bar {}, chord {} of the chart: '{}' is not a chord; expected a root A to "
                        "G, b or #, and "
                        "maj7, 6, 7, m7, m6, m7b5, dim7, sus or the like, or NC",
                        bar + 1, i + 1, words[static_cast<std::size_t>(i)]));
      }
      const int length = kBar / count;
      chart.chords.push_back({bar * kBar + i * length, length, *chord});
    }
    if (end == std::string_view::npos) return chart;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string> form_names() {
  std::vector<std::string> names;
  for (const Form& form : kForms) names.emplace_back(form.name);
  return names;
}

Tune standard_form(std::string_view name) {
  for (const Form& form : kForms) {
    if (name != form.name) continue;
    Tune chart = parse_chart(form.chords);
    chart.title = form.title;
    chart.form = form.title;
    chart.key = parse_key(form.key).value();
    return chart;
  }
  throw std::invalid_argument(
      fmt::format("'{}' is not a form, expected one of {}", name, fmt::join(form_names(), ", ")));
}

Tune empty_chart(const Tune& like, int bars) {
  Tune chart = like;
  chart.tempo = std::clamp(like.tempo, kSlowestTempo, kFastestTempo);
  chart.notes.clear();
  chart.chords = {{0, bars * ticks_per_bar(like), Chord{}}};
  return chart;
}

Tune repeated(const Tune& chart, int choruses) {
  Tune result = chart;
  const int bars = bars_of(chart);
  if (choruses < 1 ||
      static_cast<std::size_t>(bars) * static_cast<std::size_t>(choruses) > kMostBars) {
    throw std::invalid_argument(fmt::format("{} choruses of {} bars, expected {} bars or fewer",
                                            choruses, bars, kMostBars));
  }
  const int length = bars * ticks_per_bar(chart);
  for (int chorus = 1; chorus < choruses; ++chorus) {
    for (ChordSpan span : chart.chords) {
      span.start += chorus * length;
      result.chords.push_back(span);
    }
  }
  return result;
}

}  // namespace jazz
