// SPDX-License-Identifier: MIT
// Tests of the jazz example's quantiser, MIDI writer, rhythm section and folders of MIDI files.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "examples/jazz/midi/rhythm_section.h"
#include "tests/examples/jazz/jazz_midi_bytes.h"

using namespace jazz;
using namespace jazz::test;
namespace fs = std::filesystem;

TEST_CASE("midi: uneven playing is quantised beat by beat to sixteenths or triplets") {
  // Beat 1: sixteenths; beat 2: a triplet; beat 3: one late note; all a little off. Division 96.
  const MidiSong song = read(one_track(
      Bytes{2, 0x90, 60, 50, 21, 60, 0, 0, 62, 50, 22, 62, 0, 1, 64, 50, 20, 64, 0, 5, 65, 50} +
      Bytes{22, 65, 0, 2, 67, 50, 31, 67, 0, 2, 69, 50, 30, 69, 0, 1, 71, 50, 31, 71, 0} +
      Bytes{8, 72, 50, 80, 72, 0}));
  const auto tunes = quantise(song);
  REQUIRE(tunes.size() == 1);
  std::vector<int> starts, lengths;
  for (const Note& note : tunes[0].notes) {
    starts.push_back(note.start);
    lengths.push_back(note.length);
  }
  CHECK(starts == std::vector<int>{0, 24, 48, 72, 96, 128, 160, 192});
  CHECK(lengths == std::vector<int>{24, 24, 24, 24, 32, 32, 32, 96});
  CHECK(tunes[0].chords == std::vector<ChordSpan>{{0, 384, {}}});
}

TEST_CASE("midi: drums are dropped, a change of meter begins a new tune, tempo is the mean") {
  const MidiSong song = read(one_track(
      Bytes{0, 0xff, 0x58, 4, 3, 2, 24, 8, 0, 0x99, 36, 90, 0, 0x90, 60, 90, 0x60, 60, 0} +
      Bytes{0x60, 0xff, 0x51, 3, 0x03, 0xd0, 0x90, 0x60, 0xff, 0x58, 4, 4, 2, 24, 8} +
      Bytes{0, 0x90, 62, 90, 0x60, 62, 0}));
  const auto tunes = quantise(song);
  REQUIRE(tunes.size() == 2);
  CHECK(tunes[0].beats_per_bar == 3);
  CHECK(tunes[0].notes == std::vector<Note>{{0, 96, 60, 90}});
  CHECK(tunes[0].tempo == doctest::Approx(3 / (2.5 / 120)));  // 2 quarters at 120, 1 at 240
  CHECK(tunes[1].beats_per_bar == 4);
  CHECK(tunes[1].notes == std::vector<Note>{{0, 96, 62, 90}});
  CHECK(tunes[1].tempo == doctest::Approx(240));
}

TEST_CASE("midi: markers are chords only if all are symbols and not all bare letters") {
  auto with_markers = [](char first, char second) {
    return quantise(read(one_track(Bytes{
        0, 0x90, 60, 90, 0, 0xff, 6, 1, static_cast<std::uint8_t>(first), 0x60, 0xff, 6, 2,
        static_cast<std::uint8_t>(first), static_cast<std::uint8_t>(second), 0x60, 60, 0})))[0]
        .chords;
  };
  const auto chords = with_markers('D', '7');
  REQUIRE(chords.size() == 2);
  CHECK(chords[0] == ChordSpan{0, 96, {2, Quality::major}});
  CHECK(chords[1] == ChordSpan{96, 288, {2, Quality::dominant}});
  CHECK(with_markers('D', '!').size() == 1);
  CHECK(with_markers('Q', '7').size() == 1);
}

TEST_CASE("midi: what is written without swing reads back, in fast and slow tempos") {
  for (double tempo : {60.0, 140.0, 200.0, 300.0}) {
    CAPTURE(tempo);
    Tune tune = sample();
    tune.tempo = tempo;
    const MidiSong song = read(midi_bytes(tune, {.swing = false, .rhythm_section = false}));
    CHECK(song.warnings.empty());
    CHECK(song.tracks.size() == 2);
    CHECK(song.tracks[0].name == "Night Bus");
    auto back = quantise(song);
    REQUIRE(back.size() == 1);
    for (Note& note : back[0].notes) note.velocity = kDefaultVelocity;
    CHECK(back[0].notes == tune.notes);
    CHECK(back[0].chords == tune.chords);
    CHECK(back[0].key == tune.key);
    CHECK(back[0].tempo == doctest::Approx(tempo).epsilon(1e-5));
  }
}

TEST_CASE("midi: rests that a reader would cut as damage are read back at their length") {
  for (const int quarters : {255, 256, 257, 300, 1000}) {
    CAPTURE(quarters);
    Tune tune = sample();
    tune.chords.clear();
    tune.notes = {{0, 48, 60}, {quarters * kTicksPerQuarter, 48, 62}};
    const MidiSong song = read(midi_bytes(tune, {.swing = false, .rhythm_section = false}));
    CHECK(song.warnings.empty());
    const auto back = quantise(song);
    REQUIRE(back.size() == 1);
    REQUIRE(back[0].notes.size() == 2);
    CHECK(back[0].notes[1].start == tune.notes[1].start);
    CHECK(back[0].tempo == doctest::Approx(tune.tempo).epsilon(1e-5));
  }
}

TEST_CASE("midi: off-beat eighths are late by the swing ratio, triplets and beats are not") {
  CHECK(swing_ratio(100) == 2.0);
  CHECK(swing_ratio(200) == doctest::Approx(1.6));
  CHECK(swing_ratio(400) == doctest::Approx(1.2));
  Tune tune = sample();
  tune.tempo = 120;
  const auto notes = read(midi_bytes(tune)).tracks[1].notes;  // 480 ticks per quarter
  CHECK(notes[0].start == 320);                               // slot 2: an off-beat, 2 : 1
  CHECK(notes[1].start == 480);
  CHECK(notes[3].start == 960);
  CHECK(notes[4].start == 960 + 160);
  CHECK(notes[5].start == 960 + 320);

  tune.notes = {
      {48, 32, 60}, {80, 32, 62}, {112, 32, 64}, {144, 48, 65}};  // a triplet off the beat
  const auto triplet = read(midi_bytes(tune)).tracks[1].notes;
  CHECK(triplet[0].start == 240);
  CHECK(triplet[1].start == 400);
  CHECK(triplet[3].start == 480 + 320);
}

TEST_CASE("midi: the band is written as named tracks, the same for the same seed") {
  const MidiSong song = read(midi_bytes(sample()));
  REQUIRE(song.tracks.size() == 5);
  const char* names[] = {"Night Bus", "melody", "chords", "bass", "ride"};
  for (std::size_t i = 0; i < 5; ++i) CHECK(song.tracks[i].name == names[i]);
  for (const MidiNote& note : song.tracks[4].notes) CHECK(note.channel == 9);
  CHECK(midi_bytes(sample()) == midi_bytes(sample()));
  CHECK(midi_bytes(sample(), {.seed = 1}) != midi_bytes(sample(), {.seed = 2}));
}

TEST_CASE("midi: the rhythm section plays the chords") {
  const Tune tune = sample();
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    const auto bass = walking_bass(tune, seed);
    CHECK(bass.size() == 16);
    for (const Note& note : bass) {
      CHECK(note.pitch >= 28);
      CHECK(note.pitch <= 55);
      const bool chord_begins =
          std::any_of(tune.chords.begin(), tune.chords.end(),
                      [&](const ChordSpan& span) { return span.start == note.start; });
      if (chord_begins) CHECK(note.pitch % 12 == chord_at(tune, note.start).root);
    }
    for (const Note& note : comping(tune, seed)) {
      CHECK(is_chord_tone(chord_at(tune, note.start), note.pitch));
      CHECK(note.pitch % 12 != chord_at(tune, note.start).root);
    }
    CHECK(ride_cymbal(tune, seed).size() == 4 * (4 + 2 + 2));
  }
  Tune silent = tune;
  for (ChordSpan& span : silent.chords) span.chord = {};
  CHECK(walking_bass(silent, 1).empty());
  CHECK(comping(silent, 1).empty());
}

TEST_CASE("midi: a tune that MIDI cannot express is refused before anything is written") {
  auto refused = [](auto change) {
    Tune tune = sample();
    change(tune);
    CHECK_THROWS_WITH_AS(midi_bytes(tune), doctest::Contains("midi_bytes \"Night Bus\": "),
                         std::invalid_argument);
  };
  refused([](Tune& tune) { tune.tempo = 0; });
  refused([](Tune& tune) { tune.tempo = std::nan(""); });
  refused([](Tune& tune) { tune.beat_unit = 6; });
  refused([](Tune& tune) { tune.beats_per_bar = 0; });
  refused([](Tune& tune) { tune.notes[0].pitch = 128; });
  refused([](Tune& tune) { tune.notes[0].length = 0; });
  refused([](Tune& tune) { tune.notes[0].start = -1; });
  refused([](Tune& tune) { tune.notes[0].velocity = 0; });
  refused([](Tune& tune) { tune.chords[0].start = -1; });
}

TEST_CASE("midi: a folder is read in order and recursively, and damaged files are listed") {
  const fs::path folder = fs::temp_directory_path() / "tapeloop_jazz_midi_test";
  fs::remove_all(folder);
  CHECK_THROWS_WITH_AS(read_folder(folder), doctest::Contains("no such folder"),
                       std::runtime_error);
  fs::create_directories(folder / "b" / "deep.mid");
  CHECK_THROWS_WITH_AS(read_folder(folder), doctest::Contains("a *.mid"), std::runtime_error);
  write_midi(sample(), folder / "c.mid");
  write_midi(sample(), folder / "b" / "deep.mid" / "a.MIDI");
  std::ofstream(folder / "a.Mid") << "not music";
  std::ofstream(folder / "notes.txt") << "not read";
  fs::create_symlink("d.mid", folder / "d.mid");  // a link to itself
  const MidiFolder result = read_folder(folder);
  REQUIRE(result.songs.size() == 2);
  check_contains(result.songs[0].file, "a.MIDI");
  check_contains(result.songs[1].file, "c.mid");
  REQUIRE(result.damaged.size() == 2);
  CHECK(result.damaged[0].path == folder / "a.Mid");
  check_contains(result.damaged[0].reason, "byte 0: found other bytes");
  check_contains(result.damaged[1].reason,
                 "d.mid: cannot be opened: Too many levels of symbolic links");
  CHECK_THROWS_AS(write_midi(sample(), folder / "absent" / "x.mid"), std::runtime_error);
  CHECK_THROWS_WITH_AS(read_midi_file(folder / "b"), doctest::Contains("not a regular file"),
                       std::runtime_error);
  fs::remove_all(folder);
}
