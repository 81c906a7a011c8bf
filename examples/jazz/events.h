// SPDX-License-Identifier: MIT
// A tune as a sequence of categorical events, the form in which networks and n-grams see music.
// It holds no model. Velocity is not part of an event, and loudness is left to the player.
//
// One event per note, with three factors predicted one after the other:
//   delta     time since the previous onset (0 within a chord; the first since the tune's start)
//   pitch     a key of the piano, or "rest", which sounds nothing and only moves the time on
//   duration  how long the note sounds; class 0 for a rest
// Why not one token per grid slot: most slots only say "still the same note", so a model spends
// its steps and its likelihood on them, polyphony needs several tokens per slot, and a phrase of 8
// notes is 30 steps long instead of 8. Why not on/off messages: a model must remember to end what
// it began. Why absolute pitch and not intervals: the piece's register and its chords are then
// plain to see, and training in all keys gives what intervals would give.
// Times are classes of a table of 45 steps (unit = 1/12 quarter, 8 ticks): every unit up to a
// quarter; whatever sixteenths and triplets can reach up to 4 quarters; eighths up to 8 quarters.
// A longer or rarer delta is split by rests, so onsets in units are always exact; a duration that
// is not in the table is rounded to the nearest one (none in music of eighths and triplets up to
// two bars), and pitches off the piano move by octaves.
#pragma once

#include <span>
#include <vector>

#include "examples/jazz/score.h"

namespace jazz {

inline constexpr int kUnitTicks = kTicksPerQuarter / 12;
inline constexpr int kDeltaClasses = 45;
inline constexpr int kDurationClasses = kDeltaClasses - 1;  // a duration is never 0
inline constexpr int kLowestKey = 21;
inline constexpr int kHighestKey = 108;
inline constexpr int kRest = 0;                                       // pitch class "no sound"
inline constexpr int kPitchClasses = kHighestKey - kLowestKey + 2;    // 89
inline constexpr int kPositions = 4 * kTicksPerQuarter / kUnitTicks;  // 48
inline constexpr int kRoots = kNoRoot + 1;                            // 13

// What is known of a moment before its notes are: a generator reads it off the chord chart.
struct Context {
  int position = 0;         // units since the bar line, modulo 4 quarters [0, 48)
  int root = kNoRoot;       // of the chord in force [0, 13)
  int quality = 0;          // Quality as a number [0, 7)
  int next_root = kNoRoot;  // of the chord in force from the next half-bar line on
  int next_quality = 0;
  bool operator==(const Context&) const = default;
};

struct Event {
  int delta = 0;     // [0, 45)
  int pitch = 0;     // [0, 89)
  int duration = 0;  // [0, 44)
  Context at;        // at the onset, that is, after the delta
  bool operator==(const Event&) const = default;
};

// Ticks of a class. Throw std::out_of_range for a number that is no class.
int delta_ticks(int delta_class);
int duration_ticks(int duration_class);

// MIDI number of a pitch class other than kRest. Throws std::out_of_range.
int pitch_of(int pitch_class);

// Context of a tick of a tune's chord chart, also beyond its end.
Context context_at(const Tune& tune, int tick);

// Notes are taken in the order (start, pitch, length). Starts and lengths are rounded to units.
std::vector<Event> encode(const Tune& tune);

// The notes of the events over the header and the chords of `chart`, whose own notes are ignored.
// Every note gets kDefaultVelocity. Throws std::out_of_range on a class that does not exist.
Tune decode(std::span<const Event> events, const Tune& chart);

}  // namespace jazz
