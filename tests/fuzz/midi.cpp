// SPDX-License-Identifier: MIT
// MIDI files: reads and quantises them, makes events of them, and writes them again.
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "examples/jazz/midi/midi.h"
#include "examples/jazz/music/chart.h"
#include "examples/jazz/music/events.h"
#include "tests/fuzz/targets.h"

namespace tapeloop::fuzz {
namespace {

using namespace jazz;

constexpr std::string_view kFile = "folder/input.mid";

// Events for each byte: a time of 4 bytes is at most 256 quarters, 32 rests.
constexpr std::size_t kMostEvents = 16;

std::span<const std::uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string as_text(const std::vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class T>
bool in_order(const std::vector<T>& events) {
  return std::is_sorted(events.begin(), events.end(),
                        [](const T& a, const T& b) { return a.tick < b.tick; });
}

void check_song(const MidiSong& song, std::size_t size) {
  std::size_t notes = 0;
  for (const MidiTrack& track : song.tracks) {
    notes += track.notes.size();
    std::int64_t start = 0;
    for (const MidiNote& note : track.notes) {
      expect(note.start >= start, "notes are in the order of their starts");
      start = note.start;
      expect(note.length >= 0 && note.start + note.length <= song.end, "a note ends in the song");
      expect(note.channel < 16 && note.pitch < 128 && note.velocity > 0 && note.velocity < 128,
             "a note is one that MIDI has");
    }
  }
  expect(notes <= size, "every note takes bytes of the file");
  expect(in_order(song.tempos) && in_order(song.meters) && in_order(song.markers),
         "tempos, meters and markers are sorted");
  expect(song.ticks_per_quarter > 0, "time passes");
  expect(song.warnings.size() <= 8, "at most eight warnings");
}

using Onsets = std::vector<std::pair<int, int>>;  // start and pitch

Onsets onsets_of(const Tune& tune) {
  Onsets onsets;
  for (const Note& note : tune.notes) onsets.emplace_back(note.start, note.pitch);
  std::sort(onsets.begin(), onsets.end());
  return onsets;
}

void check_tune(const Tune& tune) {
  for (const Note& note : tune.notes) {
    expect(note.start >= 0 && note.length > 0, "a note of a tune lasts");
    expect(note.start % kUnitTicks == 0, "a note of a tune is on the grid");
  }
  expect(std::is_sorted(tune.notes.begin(), tune.notes.end(),
                        [](const Note& a, const Note& b) {
                          return std::pair(a.start, a.pitch) < std::pair(b.start, b.pitch);
                        }),
         "notes of a tune are sorted");
  int end = 0;
  for (const ChordSpan& span : tune.chords) {
    expect(span.start == end && span.length > 0, "chords follow one another without a gap");
    end += span.length;
  }
  expect(end >= length_of(tune), "chords last as long as the notes");
  expect(tune.tempo > 0 && tune.beats_per_bar > 0 && tune.beat_unit > 0, "a tune has a meter");
}

void check_events(const Tune& tune, std::size_t size) {
  const std::vector<Event> events = encode(tune);
  expect(events.size() <= kMostEvents * size, "work is in proportion to the file");
  const Tune again = decode(events, tune);
  Onsets onsets = onsets_of(tune);
  for (auto& [start, pitch] : onsets) {
    while (pitch < kLowestKey) pitch += 12;
    while (pitch > kHighestKey) pitch -= 12;
  }
  std::sort(onsets.begin(), onsets.end());
  expect(onsets == onsets_of(again), "events keep every onset and every pitch of the piano");
}

// A quantised tune that is written without swing and band is already on the grid.
void check_written(const Tune& tune) {
  std::vector<std::uint8_t> bytes;
  try {
    bytes = midi_bytes(tune, {.swing = false, .rhythm_section = false});
  } catch (const std::invalid_argument& error) {
    expect(std::string_view(error.what()).starts_with("midi_bytes "), "the message has a place");
    return;
  }
  const MidiSong song = read_midi(bytes, kFile);
  expect(song.warnings.empty(), "what is written is read without a warning, got: " +
                                    (song.warnings.empty() ? std::string() : song.warnings[0]));
  const std::vector<Tune> tunes = quantise(song);
  expect(tunes.size() == (tune.notes.empty() ? 0 : 1), "one tune is written, one is read");
  if (tunes.empty()) return;
  expect(onsets_of(tunes[0]) == onsets_of(tune), "a tune keeps its notes when it is written");
  expect(tunes[0].beats_per_bar == tune.beats_per_bar && tunes[0].beat_unit == tune.beat_unit &&
             tunes[0].key == tune.key,
         "a tune keeps its meter and key when it is written");
}

}  // namespace

void try_midi(std::string_view bytes) {
  MidiSong song;
  try {
    song = read_midi(as_bytes(bytes), kFile);
  } catch (const MidiError& error) {
    expect_message(error, std::string(kFile) + ", byte " + std::to_string(error.offset()) + ": ");
    expect(error.offset() <= bytes.size(), "the error is in the file");
    return;
  }
  check_song(song, bytes.size());
  std::vector<Tune> tunes;
  try {
    tunes = quantise(song);
  } catch (const MidiError& error) {
    return expect_message(error, std::string(kFile) + ", byte ");
  }
  for (const Tune& tune : tunes) {
    check_tune(tune);
    check_events(tune, bytes.size());
    check_written(tune);
  }
}

std::vector<std::string> midi_seeds() {
  Tune tune = parse_chart("F7 | Bb7 | F7 | Cm7 F7");
  tune.key = {5, false};
  tune.notes = {{0, 48, 65, 90},   {48, 48, 67, 80},    {96, 32, 69, 90},  {128, 32, 70, 90},
                {160, 32, 72, 90}, {192, 192, 77, 100}, {192, 192, 69, 70}};
  Tune waltz;
  waltz.title = "waltz";
  waltz.beats_per_bar = 3;
  waltz.notes = {{0, 96, 60, 90}, {96, 24, 64, 90}, {120, 24, 67, 90}, {144, 48, 64, 90}};
  std::vector<std::string> seeds = {
      as_text(midi_bytes(tune, {.swing = false, .rhythm_section = false})),
      as_text(midi_bytes(tune)),
      as_text(midi_bytes(waltz)),
  };
  // Format 0 with running status and drums; format 2 with SMPTE times; a RIFF wrapper.
  const auto bytes = [](std::initializer_list<int> values) {
    std::string text;
    for (int value : values) text.push_back(static_cast<char>(value));
    return text;
  };
  const std::string events = bytes({0, 0x90, 60, 90, 48, 60,   0,  0, 64, 90,   48,   64, 0,
                                    0, 0x99, 35, 90, 24, 0x89, 35, 0, 0,  0xff, 0x2f, 0});
  const std::string track = "MTrk" + bytes({0, 0, 0, static_cast<int>(events.size())}) + events;
  seeds.push_back("MThd" + bytes({0, 0, 0, 6, 0, 0, 0, 1, 0, 96}) + track);
  seeds.push_back("MThd" + bytes({0, 0, 0, 6, 0, 2, 0, 2, 0xe7, 40}) + track + track);
  const std::string& inner = seeds[3];
  seeds.push_back("RIFF" + bytes({static_cast<int>(inner.size()) + 12, 0, 0, 0}) + "RMIDdata" +
                  bytes({static_cast<int>(inner.size()), 0, 0, 0}) + inner);
  return seeds;
}

}  // namespace tapeloop::fuzz
