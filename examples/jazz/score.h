// SPDX-License-Identifier: MIT
// A lead sheet: a melody over chord symbols, on a grid of 96 ticks to the quarter note.
// It knows nothing about files, sound or networks.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace jazz {

// 96 = 2^5 * 3, so sixteenths (24), triplet eighths (32) and their common unit (8) are all whole.
inline constexpr int kTicksPerQuarter = 96;
inline constexpr int kNoRoot = 12;           // the root of "no chord", and the tonic of "no key"
inline constexpr int kLowestMelody = 55;     // g3
inline constexpr int kHighestMelody = 84;    // c6
inline constexpr int kDefaultVelocity = 90;  // given to notes whose source states none

// The slowest and the fastest tempo that a tune can be written with, in quarter notes per minute.
inline constexpr double kSlowestTempo = 4;
inline constexpr double kFastestTempo = 1000;

struct Note {
  int start = 0;   // ticks
  int length = 0;  // ticks
  int pitch = 60;  // MIDI number, middle C = c4 = 60
  int velocity = kDefaultVelocity;
  bool operator==(const Note&) const = default;
};

enum class Quality { none, major, dominant, minor, half_diminished, diminished, suspended };
inline constexpr int kQualities = 7;

struct Chord {
  int root = kNoRoot;  // pitch class, C = 0
  Quality quality = Quality::none;
  bool operator==(const Chord&) const = default;
};

struct ChordSpan {
  int start = 0;   // ticks
  int length = 0;  // ticks
  Chord chord;
  bool operator==(const ChordSpan&) const = default;
};

struct Key {
  int tonic = kNoRoot;  // pitch class; kNoRoot where the source states no key
  bool minor = false;
  bool operator==(const Key&) const = default;
};

// Notes are sorted by (start, pitch, length); chord spans follow one another without a gap from 0.
struct Tune {
  std::string title;
  std::string form;
  Key key;
  double tempo = 120;  // quarter notes per minute
  int beats_per_bar = 4;
  int beat_unit = 4;  // 4 = a quarter note, 8 = an eighth: the lower number of the time signature
  std::vector<Note> notes;
  std::vector<ChordSpan> chords;
  bool operator==(const Tune&) const = default;
};

// Ticks of one bar: beats_per_bar * 4 * 96 / beat_unit, at least 1.
int ticks_per_bar(const Tune& tune);

// End of the last chord span or the last note, whichever is later [ticks].
int length_of(const Tune& tune);

// Number of bars, the last one counted even if it is only begun.
int bars_of(const Tune& tune);

// The chord in force at a tick; Chord{} outside all spans. O(log n).
Chord chord_at(const Tune& tune, int tick);

// Semitones above the root of the four notes that spell the chord; empty for Quality::none.
// Qualities are families (a sixth chord counts as major), so the family's seventh chord is given.
std::span<const int> chord_intervals(Quality quality);

// True if the pitch is one of the chord's four notes, in any octave.
bool is_chord_tone(const Chord& chord, int pitch);

// Reads "F7", "Bbmaj7", "C#m7b5", "NC" ...; nothing if the text is not a chord symbol we know.
std::optional<Chord> parse_chord(std::string_view text);

// Changes a word that people typed or copied into the letters that the functions here read. The
// signs for flat, sharp, major seventh (a triangle or Delta), half-diminished (a struck-through o),
// diminished (a degree sign) and minor (a minus sign) become b, #, maj7, m7b5, dim and m; other
// characters stay.
std::string plain_symbol(std::string_view word);

// The plainest symbol of the family: "Fmaj7", "F7", "Fm7", "Fm7b5", "Fdim7", "F7sus", "NC".
std::string print_chord(const Chord& chord);

// Reads "F", "Bb", "Cm" ...; nothing if the text is not a key.
std::optional<Key> parse_key(std::string_view text);
std::string print_key(const Key& key);

// Reads "c5", "bb4", "f#5" as a MIDI number, c4 = 60; nothing if it is no pitch of 0..127.
std::optional<int> parse_pitch(std::string_view text);
std::string print_pitch(int pitch);

// Sorts by (start, pitch, length), the order every other function expects.
void sort_notes(std::vector<Note>& notes);

// Moves key, chords and notes by `semitones`. If the melody would leave g3..c6 (or its own range
// where that is wider), the octave of the move that leaves it least is taken, and among equals the
// one nearest to what was asked.
Tune transpose(const Tune& tune, int semitones);

}  // namespace jazz
