// SPDX-License-Identifier: MIT
// Cuts silence that no music has: one damaged time of days must not stretch a piece.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "examples/jazz/midi.h"

namespace jazz {
namespace {

// A time without events that is longer than allowed. All in ticks.
struct Gap {
  std::int64_t begin;
  std::int64_t end;
  std::int64_t removed;  // by the gaps before it
};

std::vector<std::int64_t> times_of_events(const MidiSong& song) {
  std::vector<std::int64_t> times = {0, song.end};
  for (const MidiTrack& track : song.tracks) {
    for (const MidiNote& note : track.notes) {
      times.push_back(note.start);
      times.push_back(note.start + note.length);
    }
  }
  for (const MidiTempo& tempo : song.tempos) times.push_back(tempo.tick);
  for (const MidiMeter& meter : song.meters) times.push_back(meter.tick);
  for (const MidiMarker& marker : song.markers) times.push_back(marker.tick);
  std::sort(times.begin(), times.end());
  return times;
}

}  // namespace

void cut_gaps(MidiSong& song) {
  const auto longest = static_cast<std::int64_t>(std::ceil(kLongestGap * song.ticks_per_quarter));
  if (song.end <= longest) return;
  std::vector<Gap> gaps;
  std::int64_t removed = 0;
  std::int64_t before = 0;
  for (const std::int64_t time : times_of_events(song)) {
    if (time - before > longest) {
      gaps.push_back({before, time, removed});
      removed += time - before - longest;
      if (song.warnings.size() < kMostMidiWarnings) {
        song.warnings.push_back(
            fmt::format("nothing happens for {:.0f} quarter notes from quarter note {:.0f} on: cut "
                        "to {}",
                        static_cast<double>(time - before) / song.ticks_per_quarter,
                        static_cast<double>(before) / song.ticks_per_quarter, kLongestGap));
      }
    }
    before = time;
  }
  if (gaps.empty()) return;
  const auto moved = [&](std::int64_t time) {
    const auto after = std::upper_bound(gaps.begin(), gaps.end(), time,
                                        [](std::int64_t t, const Gap& gap) { return t < gap.end; });
    if (after == gaps.begin()) return time;
    const Gap& gap = *std::prev(after);
    return time - gap.removed - (gap.end - gap.begin - longest);
  };
  for (MidiTrack& track : song.tracks) {
    for (MidiNote& note : track.notes) {
      const std::int64_t end = moved(note.start + note.length);
      note.start = moved(note.start);
      note.length = end - note.start;
    }
  }
  for (MidiTempo& tempo : song.tempos) tempo.tick = moved(tempo.tick);
  for (MidiMeter& meter : song.meters) meter.tick = moved(meter.tick);
  for (MidiMarker& marker : song.markers) marker.tick = moved(marker.tick);
  song.end = moved(song.end);
}

}  // namespace jazz
