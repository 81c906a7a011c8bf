// SPDX-License-Identifier: MIT
// From the free times of a MIDI file to a grid of sixteenths and triplet eighths.
// It does not look for the beat: it trusts the file's tempo and time signatures.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>
#include <span>

#include "examples/jazz/midi/midi.h"

namespace jazz {
namespace {

constexpr int kDrumChannel = 9;
constexpr double kLongestSong = 1 << 20;  // quarter notes
constexpr int kUnit = kTicksPerQuarter / 12;
constexpr double kUnitsPerBeat = 12;  // common to sixteenths (3) and triplet eighths (4)
// In units^2. Prevents that a single late note becomes a triplet; triplets seldom begin off the
// beat.
constexpr double kTripletPenalty = 0.5;
constexpr double kOffTripletPenalty = 0.8;

// either: no onset decides. off_triplets: a triplet from one off-beat to the next.
enum class Grid { sixteenths, triplets, off_triplets, either };

// A note of one stretch, in units of 1/12 quarter from the start of the stretch.
struct FreeNote {
  double start;
  double end;
  int pitch;
  int velocity;
};

struct Beat {
  int number;
  Grid grid;
};

// Nearest point of a grid to a place in the beat (units, may be a little below 0).
int snap(double place, Grid grid) {
  static constexpr std::array<int, 5> kSixteenths = {0, 3, 6, 9, 12};
  static constexpr std::array<int, 4> kTriplets = {0, 4, 8, 12};
  static constexpr std::array<int, 5> kOffTriplets = {0, 2, 6, 10, 12};
  static constexpr std::array<int, 7> kEither = {0, 3, 4, 6, 8, 9, 12};
  std::span<const int> points = kSixteenths;
  if (grid == Grid::triplets) points = kTriplets;
  if (grid == Grid::off_triplets) points = kOffTriplets;
  if (grid == Grid::either) points = kEither;
  return *std::min_element(points.begin(), points.end(), [place](int a, int b) {
    return std::abs(place - a) < std::abs(place - b);
  });
}

// An onset up to one unit early belongs to the beat it anticipates.
int beat_of(double units) { return static_cast<int>(std::floor((units + 1) / kUnitsPerBeat)); }

Grid choose_grid(std::span<const double> places) {
  bool decides = false;
  double sixteenths = 0;
  double triplets = kTripletPenalty;
  double off_triplets = kOffTripletPenalty;
  auto error = [](double place, Grid grid) {
    const double distance = place - snap(place, grid);
    return distance * distance;
  };
  for (double place : places) {
    sixteenths += error(place, Grid::sixteenths);
    triplets += error(place, Grid::triplets);
    off_triplets += error(place, Grid::off_triplets);
    decides = decides || (place > 1.5 && place < 10.5);
  }
  if (!decides) return Grid::either;
  if (off_triplets < std::min(sixteenths, triplets)) return Grid::off_triplets;
  return triplets < sixteenths ? Grid::triplets : Grid::sixteenths;
}

class Snapper {
 public:
  explicit Snapper(const std::vector<FreeNote>& notes) {
    std::vector<double> places;
    for (std::size_t i = 0; i < notes.size();) {
      const int beat = beat_of(notes[i].start);
      places.clear();
      for (; i < notes.size() && beat_of(notes[i].start) == beat; ++i) {
        places.push_back(notes[i].start - beat * kUnitsPerBeat);
      }
      beats_.push_back({beat, choose_grid(places)});
    }
  }

  // Units from the start of the stretch, on the grid of the beat in which they fall.
  int operator()(double units) const {
    const int beat = beat_of(units);
    auto found = std::lower_bound(beats_.begin(), beats_.end(), beat,
                                  [](const Beat& b, int number) { return b.number < number; });
    const bool known = found != beats_.end() && found->number == beat;
    const Grid grid = known ? found->grid : Grid::either;
    return beat * 12 + snap(units - beat * kUnitsPerBeat, grid);
  }

 private:
  std::vector<Beat> beats_;
};

double quarters(const MidiSong& song, std::int64_t tick) {
  return static_cast<double>(tick) / song.ticks_per_quarter;
}

// Mean tempo of a stretch: its quarter notes divided by its minutes.
double mean_tempo(const MidiSong& song, std::int64_t begin, std::int64_t end) {
  double microseconds = 0;
  std::int64_t at = begin;
  auto next =
      std::upper_bound(song.tempos.begin(), song.tempos.end(), begin,
                       [](std::int64_t t, const MidiTempo& tempo) { return t < tempo.tick; });
  int current = next == song.tempos.begin() ? 500000 : std::prev(next)->microseconds;
  for (; next != song.tempos.end() && next->tick < end; ++next) {
    microseconds += quarters(song, next->tick - at) * current;
    at = next->tick;
    current = next->microseconds;
  }
  if (end > at) microseconds += quarters(song, end - at) * current;
  if (microseconds <= 0) return 60e6 / current;
  return quarters(song, end - begin) * 60e6 / microseconds;
}

// True if all markers are chord symbols and one has more than a letter: people and notation
// programs mark sections with bare letters.
bool markers_are_chords(const MidiSong& song) {
  bool qualified = false;
  for (const MidiMarker& marker : song.markers) {
    if (!parse_chord(marker.text)) return false;
    qualified = qualified || marker.text.size() > 1;
  }
  return qualified;
}

// Score ticks from `begin` to the last marker before `end`.
int last_marker(const MidiSong& song, std::int64_t begin, std::int64_t end) {
  auto after =
      std::lower_bound(song.markers.begin(), song.markers.end(), end,
                       [](const MidiMarker& marker, std::int64_t t) { return marker.tick < t; });
  if (after == song.markers.begin()) return 0;
  const std::int64_t from_begin = std::max<std::int64_t>(0, std::prev(after)->tick - begin);
  return static_cast<int>(std::lround(quarters(song, from_begin) * kUnitsPerBeat)) * kUnit;
}

std::vector<ChordSpan> chords_of(const MidiSong& song, bool has_chords, std::int64_t begin,
                                 std::int64_t end, int length) {
  std::vector<ChordSpan> spans;
  auto add = [&](int tick, const Chord& chord) {
    if (tick >= length) return;
    if (!spans.empty() && spans.back().start == tick) spans.pop_back();
    spans.push_back({tick, 0, chord});
  };
  add(0, {});
  auto next =
      std::upper_bound(song.markers.begin(), song.markers.end(), begin,
                       [](std::int64_t t, const MidiMarker& marker) { return t < marker.tick; });
  if (next != song.markers.begin()) --next;  // the chord in force when the stretch begins
  for (; has_chords && next != song.markers.end() && next->tick < end; ++next) {
    const std::int64_t from_begin = std::max(next->tick, begin) - begin;
    const int units = static_cast<int>(std::lround(quarters(song, from_begin) * kUnitsPerBeat));
    add(units * kUnit, *parse_chord(next->text));
  }
  for (std::size_t i = 0; i < spans.size(); ++i) {
    spans[i].length = (i + 1 < spans.size() ? spans[i + 1].start : length) - spans[i].start;
  }
  return spans;
}

// `notes` are those that start from the meter's tick on and before `end`.
Tune quantise_stretch(const MidiSong& song, bool has_chords, const MidiMeter& meter,
                      std::int64_t end, std::span<const MidiNote> notes) {
  std::vector<FreeNote> free;
  for (const MidiNote& note : notes) {
    const std::int64_t note_end = std::min(note.start + note.length, end);
    free.push_back({quarters(song, note.start - meter.tick) * kUnitsPerBeat,
                    quarters(song, note_end - meter.tick) * kUnitsPerBeat, note.pitch,
                    note.velocity});
  }
  Tune tune;
  tune.title = song.tracks.empty() ? "" : song.tracks.front().name;
  if (tune.title.empty()) tune.title = std::filesystem::path(song.file).stem().string();
  tune.form = "MIDI file";
  tune.key = song.key;
  tune.beats_per_bar = meter.beats;
  tune.beat_unit = meter.unit;
  const Snapper snapper(free);
  for (const FreeNote& note : free) {
    const int start = std::max(0, snapper(note.start));
    int length = snapper(note.end) - start;
    if (length <= 0)
      length = std::clamp(static_cast<int>(std::lround(note.end - note.start)), 1, 3);
    tune.notes.push_back({start * kUnit, length * kUnit, note.pitch, note.velocity});
  }
  sort_notes(tune.notes);

  const int bar = ticks_per_bar(tune);
  const int last_chord = has_chords ? last_marker(song, meter.tick, end) : 0;
  const int length = std::max(bars_of(tune), (last_chord + bar - 1) / bar) * bar;
  tune.chords = chords_of(song, has_chords, meter.tick, end, length);
  const auto played = static_cast<std::int64_t>(
      std::llround(static_cast<double>(length) / kTicksPerQuarter * song.ticks_per_quarter));
  tune.tempo = mean_tempo(song, meter.tick, std::min(end, meter.tick + played));
  return tune;
}

}  // namespace

std::vector<Tune> quantise(const MidiSong& song) {
  if (quarters(song, song.end) > kLongestSong) {
    throw MidiError(song.file, 0, fmt::format("{:.0f} quarter notes", quarters(song, song.end)),
                    fmt::format("a song of at most {:.0f}", kLongestSong));
  }
  std::vector<MidiMeter> meters = {{0, 4, 4}};
  for (const MidiMeter& meter : song.meters) {
    if (meter.tick == meters.back().tick) meters.pop_back();
    const bool repeated =
        !meters.empty() && meters.back().beats == meter.beats && meters.back().unit == meter.unit;
    if (!repeated) meters.push_back(meter);
  }
  std::vector<MidiNote> notes;
  for (const MidiTrack& track : song.tracks) {
    std::copy_if(track.notes.begin(), track.notes.end(), std::back_inserter(notes),
                 [](const MidiNote& note) { return note.channel != kDrumChannel; });
  }
  std::stable_sort(notes.begin(), notes.end(),
                   [](const MidiNote& a, const MidiNote& b) { return a.start < b.start; });

  const bool has_chords = markers_are_chords(song);
  std::vector<Tune> tunes;
  auto first = notes.begin();
  for (std::size_t i = 0; i < meters.size(); ++i) {
    const std::int64_t end =
        i + 1 < meters.size() ? meters[i + 1].tick : std::numeric_limits<std::int64_t>::max();
    const auto last =
        std::find_if(first, notes.end(), [end](const MidiNote& note) { return note.start >= end; });
    if (first == last) continue;
    tunes.push_back(quantise_stretch(song, has_chords, meters[i], end, {first, last}));
    first = last;
  }
  return tunes;
}

}  // namespace jazz
