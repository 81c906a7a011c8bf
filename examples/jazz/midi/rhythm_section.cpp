// SPDX-License-Identifier: MIT
// The notes of the three players, beat by beat. They do not use the melody.
#include "examples/jazz/midi/rhythm_section.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <random>

namespace jazz {
namespace {

constexpr int kEighth = kTicksPerQuarter / 2;
constexpr int kBassLow = 28;
constexpr int kBassHigh = 55;
// The lowest note of a shell voicing is from kShellLow to kShellLow + 11.
constexpr int kShellLow = 52;
constexpr int kRide = 51;
constexpr int kFootHiHat = 44;

// std::uniform_int_distribution differs between standard libraries; this class does not.
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : engine_(seed) {}
  int below(int n) { return static_cast<int>(engine_() % static_cast<std::uint32_t>(n)); }
  int between(int low, int high) { return low + below(high - low + 1); }

 private:
  std::mt19937 engine_;
};

int wrapped(int value) { return ((value % 12) + 12) % 12; }

// The pitch nearest to `from` among the pitches of a pitch class in the bass's range.
int nearest_bass(int pitch_class, int from) {
  int best = kBassLow + wrapped(pitch_class - kBassLow);
  for (int pitch = best; pitch <= kBassHigh; pitch += 12) {
    if (std::abs(pitch - from) < std::abs(best - from)) best = pitch;
  }
  return best;
}

void add_shell(std::vector<Note>& notes, const Chord& chord, int start, int length, int velocity) {
  const auto intervals = chord_intervals(chord.quality);
  const int third = kShellLow + wrapped(chord.root + intervals[1] - kShellLow);
  const int seventh = third + intervals[3] - intervals[1];
  notes.push_back({start, length, third, velocity});
  notes.push_back({start, length, seventh, velocity});
}

}  // namespace

std::vector<Note> comping(const Tune& tune, std::uint32_t seed) {
  // Eighths of a 4/4 bar on which the pianist plays; -1 is unused.
  constexpr std::array<std::array<int, 3>, 5> kPatterns = {
      {{0, 3, -1}, {3, 6, -1}, {0, 3, 6}, {1, 4, -1}, {2, 5, -1}}};
  Dice dice(seed);
  std::vector<Note> notes;
  const int bar = ticks_per_bar(tune);
  const int end = length_of(tune);
  const bool common_time = bar == 4 * kTicksPerQuarter;
  for (int begin = 0; begin < end; begin += bar) {
    const auto& pattern = kPatterns[static_cast<std::size_t>(dice.below(5))];
    for (int eighth : pattern) {
      const int start = common_time ? begin + eighth * kEighth : begin;
      if (eighth < 0 || (!common_time && eighth != pattern[0])) continue;
      const int velocity = dice.between(48, 66);
      const int length = dice.below(3) == 0 ? kTicksPerQuarter : kEighth;
      const Chord chord = chord_at(tune, start);
      if (chord.quality == Quality::none || start >= end) continue;
      add_shell(notes, chord, start, length, velocity);
    }
  }
  sort_notes(notes);
  return notes;
}

std::vector<Note> walking_bass(const Tune& tune, std::uint32_t seed) {
  Dice dice(seed);
  std::vector<Note> notes;
  const int end = length_of(tune);
  int last = 40;
  Chord before;
  for (int start = 0; start < end; start += kTicksPerQuarter) {
    const Chord chord = chord_at(tune, start);
    const Chord next = chord_at(tune, start + kTicksPerQuarter);
    const int velocity = dice.between(70, 84);
    if (chord.quality != Quality::none) {
      const auto intervals = chord_intervals(chord.quality);
      int pitch = nearest_bass(chord.root, last);
      if (chord == before) {
        if (next != chord && next.quality != Quality::none) {
          const int target = nearest_bass(next.root, last);
          pitch = target + (dice.below(2) == 0 && target > kBassLow ? -1 : 1);
          if (pitch > kBassHigh) pitch = target - 1;
        } else {
          const int interval = intervals[static_cast<std::size_t>(dice.below(4))];
          pitch = nearest_bass(chord.root + interval, last + dice.between(-5, 5));
          if (pitch == last) pitch = nearest_bass(chord.root + intervals[2], last);
        }
      }
      notes.push_back({start, kTicksPerQuarter, pitch, velocity});
      last = pitch;
    }
    before = chord;
  }
  return notes;
}

std::vector<Note> ride_cymbal(const Tune& tune, std::uint32_t seed) {
  Dice dice(seed);
  std::vector<Note> notes;
  const int end = length_of(tune);
  const int bar = ticks_per_bar(tune);
  for (int begin = 0; begin < end; begin += bar) {
    for (int tick = 0; tick < bar && begin + tick < end; tick += kTicksPerQuarter) {
      const bool even_beat = tick / kTicksPerQuarter % 2 == 1;
      const int start = begin + tick;
      notes.push_back({start, kEighth, kRide, dice.between(46, 54) + (even_beat ? 6 : 0)});
      if (!even_beat) continue;
      notes.push_back({start, kEighth, kFootHiHat, dice.between(38, 46)});
      notes.push_back({start + kEighth, kEighth, kRide, dice.between(36, 44)});
    }
  }
  sort_notes(notes);
  return notes;
}

}  // namespace jazz
