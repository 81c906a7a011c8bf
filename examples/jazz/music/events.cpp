// SPDX-License-Identifier: MIT
// Tunes to events and back. Only this file has the table of steps.
#include "examples/jazz/music/events.h"

#include "examples/common/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>

namespace jazz {
namespace {

// In units, ascending. From one to four quarters it keeps multiples of 2 and 3, for differences
// between grid points of sixteenths (3k) and triplets (4k).
constexpr std::array<int, kDeltaClasses> make_steps() {
  std::array<int, kDeltaClasses> steps{};
  std::size_t count = 0;
  for (int unit = 0; unit <= 96; ++unit) {
    const bool fine = unit <= 12;
    const bool medium = unit <= 48 && (unit % 2 == 0 || unit % 3 == 0);
    if (fine || medium || unit % 6 == 0) steps[count++] = unit;
  }
  return steps;
}
constexpr auto kSteps = make_steps();
static_assert(kSteps.front() == 0 && kSteps.back() == 96, "kDeltaClasses counts the steps");

int to_units(int ticks) { return (ticks + kUnitTicks / 2) / kUnitTicks; }

// Class of the largest step that is at most `units`.
int floor_class(int units) {
  const auto after = std::upper_bound(kSteps.begin(), kSteps.end(), units);
  return static_cast<int>(after - kSteps.begin()) - 1;
}

int duration_class(int units) {
  const int low = std::max(1, floor_class(units));
  const int high = std::min(low + 1, kDeltaClasses - 1);
  const int below = units - kSteps[static_cast<std::size_t>(low)];
  const int above = kSteps[static_cast<std::size_t>(high)] - units;
  return (std::abs(above) < std::abs(below) ? high : low) - 1;
}

int pitch_class_of(int pitch) {
  while (pitch < kLowestKey) pitch += 12;
  while (pitch > kHighestKey) pitch -= 12;
  return pitch - kLowestKey + 1;
}

int checked(int value, int low, int high, const char* what) {
  if (value < low || value >= high) {
    throw std::out_of_range(
        fmt::format("{} class is {}, expected {} to {}", what, value, low, high - 1));
  }
  return value;
}

}  // namespace

int delta_ticks(int delta_class) {
  checked(delta_class, 0, kDeltaClasses, "delta");
  return kSteps[static_cast<std::size_t>(delta_class)] * kUnitTicks;
}

int duration_ticks(int duration_class) {
  checked(duration_class, 0, kDurationClasses, "duration");
  return kSteps[static_cast<std::size_t>(duration_class) + 1] * kUnitTicks;
}

int pitch_of(int pitch_class) {
  return checked(pitch_class, 1, kPitchClasses, "pitch") - 1 + kLowestKey;
}

Context context_at(const Tune& tune, int tick) {
  const int bar = ticks_per_bar(tune);
  const int place = tick % bar;
  const int half = bar / 2;
  const int next_tick = tick - place + (place < half ? half : bar);
  const Chord chord = chord_at(tune, tick);
  const Chord next = chord_at(tune, next_tick);
  return {place / kUnitTicks % kPositions, chord.root, static_cast<int>(chord.quality), next.root,
          static_cast<int>(next.quality)};
}

std::vector<Event> encode(const Tune& tune) {
  std::vector<Note> notes = tune.notes;
  for (Note& note : notes) {
    if (note.start < 0) {
      throw std::out_of_range(fmt::format("encode \"{}\": a note starts at tick {}",
                                          common::printable(tune.title), note.start));
    }
    note.start = to_units(note.start);
    note.length = std::max(1, to_units(note.length));
  }
  sort_notes(notes);
  std::vector<Event> events;
  events.reserve(notes.size());
  int now = 0;
  for (const Note& note : notes) {
    int delta = floor_class(note.start - now);
    // Splits a delta that is not a step: rests end all parts but the last.
    while (kSteps[static_cast<std::size_t>(delta)] != note.start - now) {
      now += kSteps[static_cast<std::size_t>(delta)];
      events.push_back({delta, kRest, 0, context_at(tune, now * kUnitTicks)});
      delta = floor_class(note.start - now);
    }
    now = note.start;
    events.push_back({delta, pitch_class_of(note.pitch), duration_class(note.length),
                      context_at(tune, now * kUnitTicks)});
  }
  return events;
}

Tune decode(std::span<const Event> events, const Tune& chart) {
  Tune tune = chart;
  tune.notes.clear();
  int now = 0;
  for (const Event& event : events) {
    now += delta_ticks(event.delta);
    if (event.pitch == kRest) continue;
    tune.notes.push_back(
        {now, duration_ticks(event.duration), pitch_of(event.pitch), kDefaultVelocity});
  }
  sort_notes(tune.notes);
  return tune;
}

}  // namespace jazz
