// SPDX-License-Identifier: MIT
// A tune as a sequence of categorical events, the input of networks and n-grams. It holds no model.
// Events have no velocity: the player chooses the loudness.
//
// One event per note, with three factors predicted one after the other:
//   delta     time since the previous onset (0 within a chord; the first since the tune's start)
//   pitch     a key of the piano, or "rest", which sounds nothing and only moves the time on
//   duration  how long the note sounds; class 0 for a rest
// Alternatives: with one token per grid slot, most tokens would only say "still the same note",
// polyphony would need several tokens per slot, and a phrase of 8 notes would have 30 steps. With
// on/off messages, a model would have to remember to end each note. With intervals instead of
// pitches, the register and the relation to the chords would be hidden; training in all keys gives
// the same benefit.
// Times are classes of a table of 45 steps (unit = 1/12 quarter, 8 ticks): every unit up to a
// quarter; multiples of 2 or 3 units, for sixteenths and triplets, up to 4 quarters; eighths up to
// 8 quarters. Rests split a delta that is not in the table, so onsets in units are exact. A
// duration that is not in the table becomes the nearest one (durations of eighths and triplets up
// to two bars are all in it). Pitches off the piano move by octaves.
#pragma once

#include <span>
#include <vector>

#include "examples/jazz/music/score.h"

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

// The known facts before the next notes: a generator reads them from the chord chart.
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

// Ticks of a class. Throw std::out_of_range if there is no such class.
int delta_ticks(int delta_class);
int duration_ticks(int duration_class);

// MIDI number of a pitch class other than kRest. Throws std::out_of_range.
int pitch_of(int pitch_class);

// Context of a tick of a tune's chord chart, also after its end.
Context context_at(const Tune& tune, int tick);

// Sorts notes by (start, pitch, length). Rounds starts and lengths to units.
std::vector<Event> encode(const Tune& tune);

// The notes of the events with the header and the chords of `chart`, whose own notes are ignored.
// Every note gets kDefaultVelocity. Throws std::out_of_range for a class that does not exist.
Tune decode(std::span<const Event> events, const Tune& chart);

}  // namespace jazz
