// SPDX-License-Identifier: MIT
// Cuts pauses that no music has: otherwise one damaged time could make a piece last for days.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "examples/jazz/midi/midi.h"

namespace jazz {
namespace {

// A time without events that is too long. All in ticks.
struct Gap {
  std::int64_t end;
  std::int64_t removed;  // by this gap and earlier ones
};

// Ticks to remove from a silence: whole bars of the current meter, so that notes after it keep
// their places in the bars. If a bar is longer than kLongestGap, removes whole quarter notes.
std::int64_t removed_from(const MidiSong& song, std::int64_t begin, std::int64_t end,
                          std::int64_t longest) {
  MidiMeter meter;
  for (const MidiMeter& next : song.meters) {
    if (next.tick <= begin) meter = next;
  }
  double unit = song.ticks_per_quarter * 4 * meter.beats / meter.unit;
  if (unit > static_cast<double>(longest)) unit = song.ticks_per_quarter;
  const double count = std::ceil(static_cast<double>(end - begin - longest) / unit);
  return std::min(end - begin, static_cast<std::int64_t>(std::llround(count * unit)));
}

// The first cut is always in the list, as the first warning, because it moves notes.
void warn_of_cut(MidiSong& song, bool first, const std::string& warning) {
  if (first) {
    song.warnings.insert(song.warnings.begin(), warning);
    if (song.warnings.size() > kMostMidiWarnings) song.warnings.pop_back();
  } else if (song.warnings.size() < kMostMidiWarnings) {
    song.warnings.push_back(warning);
  }
}

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
      const std::int64_t cut = removed_from(song, before, time, longest);
      removed += cut;
      gaps.push_back({time, removed});
      const auto quarters = [&](std::int64_t ticks) {
        return static_cast<double>(ticks) / song.ticks_per_quarter;
      };
      warn_of_cut(
          song, gaps.size() == 1,
          fmt::format("nothing happens for {:.0f} quarter notes from quarter note {:.0f} "
                      "on: cut to {:.0f}",
                      quarters(time - before), quarters(before), quarters(time - before - cut)));
    }
    before = time;
  }
  if (gaps.empty()) return;
  const auto moved = [&](std::int64_t time) {
    const auto after = std::upper_bound(gaps.begin(), gaps.end(), time,
                                        [](std::int64_t t, const Gap& gap) { return t < gap.end; });
    return after == gaps.begin() ? time : time - std::prev(after)->removed;
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
