// SPDX-License-Identifier: MIT
// Counting chord tones, copied runs, range and rhythm.
// Compares runs in full, not by hash, so that every reported copy is one.
#include "examples/jazz/measures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

namespace jazz {
namespace {

void append(std::string& text, int value) {
  for (int shift = 0; shift < 32; shift += 8) {
    text.push_back(static_cast<char>(static_cast<unsigned>(value) >> shift & 0xffu));
  }
}

struct Run {
  std::string by_interval;
  std::string by_pitch;
};

std::vector<Run> runs_of(const Tune& tune) {
  std::vector<Note> notes = tune.notes;
  sort_notes(notes);
  std::vector<Run> runs;
  for (std::size_t i = 0; i + kRunLength <= notes.size(); ++i) {
    Run& run = runs.emplace_back();
    append(run.by_pitch, notes[i].pitch);
    for (std::size_t k = i + 1; k < i + kRunLength; ++k) {
      const int gap = notes[k].start - notes[k - 1].start;
      append(run.by_interval, notes[k].pitch - notes[k - 1].pitch);
      append(run.by_interval, gap);
      append(run.by_pitch, notes[k].pitch);
      append(run.by_pitch, gap);
    }
  }
  return runs;
}

double share(std::size_t part, std::size_t whole) {
  if (whole == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(part) / static_cast<double>(whole);
}

// True on beat 1, and on beat 3 or another beat in the middle of the bar.
bool is_strong(const Tune& tune, int tick) {
  const int bar = ticks_per_bar(tune);
  const int place = tick % bar;
  return place == 0 || (tune.beats_per_bar % 2 == 0 && place == bar / 2);
}

double entropy_bits(const std::map<std::pair<int, int>, std::size_t>& counts, std::size_t total) {
  double bits = 0;
  for (const auto& [pair, count] : counts) {
    const double p = share(count, total);
    bits -= p * std::log2(p);
  }
  return bits;
}

// All measures except the copied runs.
Measures count_notes(std::span<const Tune> tunes) {
  Measures result;
  result.tunes = tunes.size();
  std::size_t strong = 0;
  std::size_t chord_tones = 0;
  std::size_t bars = 0;
  std::map<std::pair<int, int>, std::size_t> rhythm;
  for (const Tune& tune : tunes) {
    bars += static_cast<std::size_t>(bars_of(tune));
    std::vector<Note> notes = tune.notes;
    sort_notes(notes);
    int previous = 0;
    for (const Note& note : notes) {
      result.lowest = result.notes == 0 ? note.pitch : std::min(result.lowest, note.pitch);
      result.highest = result.notes == 0 ? note.pitch : std::max(result.highest, note.pitch);
      ++result.notes;
      ++rhythm[{note.start - previous, note.length}];
      previous = note.start;
      const Chord chord = chord_at(tune, note.start);
      if (chord.quality == Quality::none || !is_strong(tune, note.start)) continue;
      ++strong;
      if (is_chord_tone(chord, note.pitch)) ++chord_tones;
    }
  }
  result.notes_per_bar = share(result.notes, bars);
  result.chord_tones = share(chord_tones, strong);
  result.rhythm_bits = entropy_bits(rhythm, result.notes);
  return result;
}

Measures measure_against(std::span<const Tune> tunes, const RunIndex& index, bool leave_out) {
  Measures result = count_notes(tunes);
  RunIndex::Copied sum;
  for (std::size_t i = 0; i < tunes.size(); ++i) {
    const int except = leave_out ? static_cast<int>(i) : RunIndex::kNoTune;
    const RunIndex::Copied copied = index.look_up(tunes[i], except);
    sum.runs += copied.runs;
    sum.any_key += copied.any_key;
    sum.same_pitches += copied.same_pitches;
  }
  result.copied_any_key = share(sum.any_key, sum.runs);
  result.copied_pitches = share(sum.same_pitches, sum.runs);
  return result;
}

std::string percent(double value) {
  return std::isnan(value) ? "-" : fmt::format("{:.1f} %", 100 * value);
}

std::string decimal(double value) { return std::isnan(value) ? "-" : fmt::format("{:.2f}", value); }

std::string range(const Measures& m) {
  if (m.notes == 0) return "-";
  return fmt::format("{} to {}", print_pitch(m.lowest), print_pitch(m.highest));
}

}  // namespace

RunIndex::RunIndex(std::span<const Tune> corpus) {
  auto add = [](std::unordered_map<std::string, int>& runs, std::string run, int tune) {
    const auto [place, is_new] = runs.try_emplace(std::move(run), tune);
    if (!is_new && place->second != tune) place->second = kSeveral;
  };
  for (std::size_t i = 0; i < corpus.size(); ++i) {
    for (Run& run : runs_of(corpus[i])) {
      add(by_interval_, std::move(run.by_interval), static_cast<int>(i));
      add(by_pitch_, std::move(run.by_pitch), static_cast<int>(i));
    }
  }
}

bool RunIndex::found(const std::unordered_map<std::string, int>& runs, const std::string& run,
                     int except) {
  const auto place = runs.find(run);
  return place != runs.end() && (except == kNoTune || place->second != except);
}

RunIndex::Copied RunIndex::look_up(const Tune& tune, int except) const {
  Copied copied;
  for (const Run& run : runs_of(tune)) {
    ++copied.runs;
    if (found(by_interval_, run.by_interval, except)) ++copied.any_key;
    if (found(by_pitch_, run.by_pitch, except)) ++copied.same_pitches;
  }
  return copied;
}

Measures measure(std::span<const Tune> tunes, const RunIndex& corpus) {
  return measure_against(tunes, corpus, false);
}

Measures measure_corpus(std::span<const Tune> corpus, const RunIndex& index) {
  return measure_against(corpus, index, true);
}

std::string comparison_table(const Measures& generated, const Measures& corpus) {
  std::string table = fmt::format("{:<38}{:>14}{:>14}\n", "", "generated", "corpus");
  auto line = [&](std::string_view name, const std::string& a, const std::string& b) {
    table += fmt::format("{:<38}{:>14}{:>14}\n", name, a, b);
  };
  line("tunes", fmt::format("{}", generated.tunes), fmt::format("{}", corpus.tunes));
  line("notes", fmt::format("{}", generated.notes), fmt::format("{}", corpus.notes));
  line("notes per bar", decimal(generated.notes_per_bar), decimal(corpus.notes_per_bar));
  line("chord tones on beats 1 and 3", percent(generated.chord_tones), percent(corpus.chord_tones));
  line("8-note runs of (other) corpus tunes", percent(generated.copied_any_key),
       percent(corpus.copied_any_key));
  line("  at the same pitches", percent(generated.copied_pitches), percent(corpus.copied_pitches));
  line("range", range(generated), range(corpus));
  line("entropy of the rhythm, bits", decimal(generated.rhythm_bits), decimal(corpus.rhythm_bits));
  return table;
}

}  // namespace jazz
