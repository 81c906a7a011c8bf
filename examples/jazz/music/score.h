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
inline constexpr int kDefaultVelocity = 90;  // for notes without a velocity in their source

// Limits of the tempo of a tune, in quarter notes per minute.
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
  int tonic = kNoRoot;  // pitch class; kNoRoot if the source states no key
  bool minor = false;
  bool operator==(const Key&) const = default;
};

// Notes are sorted by (start, pitch, length). Chord spans begin at 0 and have no gaps.
struct Tune {
  std::string title;
  std::string form;
  Key key;
  double tempo = 120;  // quarter notes per minute
  int beats_per_bar = 4;
  // The lower number of the time signature: 4 is a quarter note, 8 an eighth.
  int beat_unit = 4;
  std::vector<Note> notes;
  std::vector<ChordSpan> chords;
  bool operator==(const Tune&) const = default;
};

// Ticks of one bar: beats_per_bar * 4 * 96 / beat_unit, at least 1.
int ticks_per_bar(const Tune& tune);

// End of the last chord span or the last note, whichever is later [ticks].
int length_of(const Tune& tune);

// Number of bars; a last bar that is only begun counts.
int bars_of(const Tune& tune);

// The chord in force at a tick; Chord{} outside all spans. O(log n).
Chord chord_at(const Tune& tune, int tick);

// The chord's four notes in semitones above the root; empty for Quality::none. A quality is a
// family (a sixth chord counts as major), so these are the family's seventh chord.
std::span<const int> chord_intervals(Quality quality);

// True if the pitch is one of the chord's four notes, in any octave.
bool is_chord_tone(const Chord& chord, int pitch);

// Reads "F7", "Bbmaj7", "C#m7b5", "NC" ...; empty if the text is not a known chord symbol.
std::optional<Chord> parse_chord(std::string_view text);

// Translates the signs in a word that people typed or copied: flat, sharp, major seventh (a
// triangle or Delta), half-diminished (a struck-through o), diminished (a degree sign) and minor (a
// minus sign) become b, #, maj7, m7b5, dim and m. Other characters stay.
std::string plain_symbol(std::string_view word);

// The plainest symbol of the family: "Fmaj7", "F7", "Fm7", "Fm7b5", "Fdim7", "F7sus", "NC".
std::string print_chord(const Chord& chord);

// Reads "F", "Bb", "Cm" ...; empty if the text is not a key.
std::optional<Key> parse_key(std::string_view text);
std::string print_key(const Key& key);

// Reads "c5", "bb4", "f#5" as a MIDI number, c4 = 60; empty if it is not a pitch of 0..127.
std::optional<int> parse_pitch(std::string_view text);
std::string print_pitch(int pitch);

// Sorts by (start, pitch, length), the order that all functions here expect.
void sort_notes(std::vector<Note>& notes);

// Moves key, chords and notes by `semitones`, and by octaves if the melody would leave g3..c6 (or
// its own range if that is wider). It takes the octave that leaves the range least, and among
// equals the one nearest to `semitones`.
Tune transpose(const Tune& tune, int semitones);

}  // namespace jazz
