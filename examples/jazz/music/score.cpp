// SPDX-License-Identifier: MIT
// Chord symbols, keys, pitches and transposition of a lead sheet.
// Spells each pitch class by its most common name; it keeps no enharmonic distinctions.
#include "examples/jazz/music/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <tuple>
#include <utility>

namespace jazz {
namespace {

constexpr std::array<std::string_view, 12> kNames = {"C",  "Db", "D",  "Eb", "E",  "F",
                                                     "F#", "G",  "Ab", "A",  "Bb", "B"};

// The endings of chord symbols. A ' ' stands before and behind each one; that of a bare major chord
// is empty.
constexpr std::array<std::pair<Quality, std::string_view>, 6> kEndings = {
    {{Quality::major, "  maj maj7 maj9 maj13 6 69 "},
     {Quality::dominant, " 7 9 11 13 7b9 7#9 7alt 7#11 7b5 7#5 7b13 9#11 13b9 13#11 "},
     {Quality::minor, " m m6 m7 m9 m11 m69 mmaj7 "},
     {Quality::half_diminished, " m7b5 m9b5 "},
     {Quality::diminished, " dim dim7 "},
     {Quality::suspended, " sus sus4 7sus 7sus4 9sus 13sus "}}};

int pitch_class(int value) { return ((value % 12) + 12) % 12; }

// Removes a letter A-G (in the given case) and an accidental from the front, if they are there.
// Does not reduce the result to 0..11, so that "cb5" and "b5" differ.
std::optional<int> take_letter(std::string_view& text, char first_letter) {
  constexpr std::array<int, 7> kLetters = {9, 11, 0, 2, 4, 5, 7};
  if (text.empty() || text[0] < first_letter || text[0] > first_letter + 6) return std::nullopt;
  int value = kLetters[static_cast<std::size_t>(text[0] - first_letter)];
  text.remove_prefix(1);
  if (!text.empty() && (text[0] == 'b' || text[0] == '#')) {
    value += text[0] == '#' ? 1 : -1;
    text.remove_prefix(1);
  }
  return value;
}

// Semitones by which the range [low, high] exceeds [lowest, highest].
int overflow(int low, int high, int lowest, int highest) {
  return std::max(0, lowest - low) + std::max(0, high - highest);
}

}  // namespace

int ticks_per_bar(const Tune& tune) {
  return std::max(1, tune.beats_per_bar * 4 * kTicksPerQuarter / std::max(1, tune.beat_unit));
}

int length_of(const Tune& tune) {
  int end = 0;
  if (!tune.chords.empty()) end = tune.chords.back().start + tune.chords.back().length;
  for (const Note& note : tune.notes) end = std::max(end, note.start + note.length);
  return end;
}

int bars_of(const Tune& tune) {
  const int bar = ticks_per_bar(tune);
  const int length = length_of(tune);
  return length / bar + (length % bar != 0 ? 1 : 0);
}

Chord chord_at(const Tune& tune, int tick) {
  auto after = std::upper_bound(tune.chords.begin(), tune.chords.end(), tick,
                                [](int t, const ChordSpan& span) { return t < span.start; });
  if (after == tune.chords.begin()) return {};
  const ChordSpan& span = *std::prev(after);
  return tick < span.start + span.length ? span.chord : Chord{};
}

std::span<const int> chord_intervals(Quality quality) {
  static constexpr std::array<int, 4> kMajor = {0, 4, 7, 11};
  static constexpr std::array<int, 4> kDominant = {0, 4, 7, 10};
  static constexpr std::array<int, 4> kMinor = {0, 3, 7, 10};
  static constexpr std::array<int, 4> kHalfDiminished = {0, 3, 6, 10};
  static constexpr std::array<int, 4> kDiminished = {0, 3, 6, 9};
  static constexpr std::array<int, 4> kSuspended = {0, 5, 7, 10};
  switch (quality) {
    case Quality::none: return {};
    case Quality::major: return kMajor;
    case Quality::dominant: return kDominant;
    case Quality::minor: return kMinor;
    case Quality::half_diminished: return kHalfDiminished;
    case Quality::diminished: return kDiminished;
    case Quality::suspended: return kSuspended;
  }
  return {};
}

bool is_chord_tone(const Chord& chord, int pitch) {
  const auto intervals = chord_intervals(chord.quality);
  return std::find(intervals.begin(), intervals.end(), pitch_class(pitch - chord.root)) !=
         intervals.end();
}

std::optional<Chord> parse_chord(std::string_view text) {
  if (text == "NC" || text == "N.C.") return Chord{};
  const auto root = take_letter(text, 'A');
  if (!root) return std::nullopt;
  if (text.find(' ') != std::string_view::npos) return std::nullopt;
  const std::string word = fmt::format(" {} ", text);
  for (const auto& [quality, endings] : kEndings) {
    if (endings.find(word) != std::string_view::npos) return Chord{pitch_class(*root), quality};
  }
  return std::nullopt;
}

std::string plain_symbol(std::string_view word) {
  struct Sign {
    std::string_view text, letters;
  };
  // A 7 that is written after a sign is part of the sign.
  constexpr Sign kSigns[] = {{"♭", "b"},     {"♯", "#"},    {"Δ7", "maj7"}, {"Δ", "maj7"},
                             {"∆7", "maj7"}, {"∆", "maj7"}, {"△7", "maj7"}, {"△", "maj7"},
                             {"ø7", "m7b5"}, {"ø", "m7b5"}, {"Ø7", "m7b5"}, {"Ø", "m7b5"},
                             {"°", "dim"},   {"º", "dim"},  {"−", "m"}};
  std::string result;
  while (!word.empty()) {
    const auto sign = std::find_if(std::begin(kSigns), std::end(kSigns),
                                   [&](const Sign& s) { return word.starts_with(s.text); });
    const bool found = sign != std::end(kSigns);
    result += found ? sign->letters : word.substr(0, 1);
    word.remove_prefix(found ? sign->text.size() : 1);
  }
  return result;
}

std::string print_chord(const Chord& chord) {
  constexpr std::array<std::string_view, kQualities> kPlain = {"",     "maj7", "7",   "m7",
                                                               "m7b5", "dim7", "7sus"};
  if (chord.quality == Quality::none || chord.root == kNoRoot) return "NC";
  return fmt::format("{}{}", kNames[static_cast<std::size_t>(pitch_class(chord.root))],
                     kPlain[static_cast<std::size_t>(chord.quality)]);
}

std::optional<Key> parse_key(std::string_view text) {
  const auto tonic = take_letter(text, 'A');
  if (!tonic || !(text.empty() || text == "m")) return std::nullopt;
  return Key{pitch_class(*tonic), text == "m"};
}

std::string print_key(const Key& key) {
  if (key.tonic == kNoRoot) return "";
  return fmt::format("{}{}", kNames[static_cast<std::size_t>(pitch_class(key.tonic))],
                     key.minor ? "m" : "");
}

std::optional<int> parse_pitch(std::string_view text) {
  const auto letter = take_letter(text, 'a');
  if (!letter || text.size() != 1 || text[0] < '0' || text[0] > '9') return std::nullopt;
  const int pitch = *letter + 12 * (text[0] - '0' + 1);
  if (pitch > 127) return std::nullopt;
  return pitch;
}

std::string print_pitch(int pitch) {
  std::string name(kNames[static_cast<std::size_t>(pitch_class(pitch))]);
  name[0] = static_cast<char>(name[0] - 'A' + 'a');
  return fmt::format("{}{}", name, (pitch - pitch_class(pitch)) / 12 - 1);
}

void sort_notes(std::vector<Note>& notes) {
  std::stable_sort(notes.begin(), notes.end(), [](const Note& a, const Note& b) {
    return std::tie(a.start, a.pitch, a.length) < std::tie(b.start, b.pitch, b.length);
  });
}

Tune transpose(const Tune& tune, int semitones) {
  Tune result = tune;
  if (result.key.tonic != kNoRoot) result.key.tonic = pitch_class(result.key.tonic + semitones);
  for (ChordSpan& span : result.chords) {
    if (span.chord.root != kNoRoot) span.chord.root = pitch_class(span.chord.root + semitones);
  }
  if (tune.notes.empty()) return result;

  int low = tune.notes.front().pitch;
  int high = low;
  for (const Note& note : tune.notes) {
    low = std::min(low, note.pitch);
    high = std::max(high, note.pitch);
  }
  const int lowest = std::min(low, kLowestMelody);
  const int highest = std::max(high, kHighestMelody);
  int best = semitones;
  auto cost = [&](int shift) {
    return std::tuple(overflow(low + shift, high + shift, lowest, highest),
                      std::abs(shift - semitones));
  };
  for (int shift = pitch_class(semitones) - 132; shift <= 132; shift += 12) {
    if (cost(shift) < cost(best)) best = shift;
  }
  for (Note& note : result.notes) {
    note.pitch += best;
    while (note.pitch < 0) note.pitch += 12;
    while (note.pitch > 127) note.pitch -= 12;
  }
  sort_notes(result.notes);
  return result;
}

}  // namespace jazz
