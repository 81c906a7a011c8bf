// SPDX-License-Identifier: MIT
// Tests of the jazz example's MIDI reader, quantiser, writer and rhythm section.
// No real files are needed: each oddity is a few bytes here.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "examples/jazz/corpus.h"
#include "examples/jazz/midi.h"
#include "examples/jazz/rhythm_section.h"

namespace {

using namespace jazz;
namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

const Bytes kEndOfTrack = {0, 0xff, 0x2f, 0};

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes letters(std::string_view text) { return {text.begin(), text.end()}; }

Bytes big_endian(std::size_t value, int bytes) {
  Bytes out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  return out;
}

Bytes header(std::size_t format, std::size_t tracks, std::size_t division) {
  return letters("MThd") + big_endian(6, 4) + big_endian(format, 2) + big_endian(tracks, 2) +
         big_endian(division, 2);
}

Bytes chunk(std::string_view type, const Bytes& body) {
  return letters(type) + big_endian(body.size(), 4) + body;
}

// A format 0 file of 96 ticks per quarter around the events of one track.
Bytes one_track(const Bytes& events) {
  return header(0, 1, 96) + chunk("MTrk", events + kEndOfTrack);
}

MidiSong read(const Bytes& bytes) { return read_midi(bytes, "test.mid"); }

std::string error_of(const Bytes& bytes) {
  try {
    read(bytes);
  } catch (const MidiError& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  INFO("looking for '" << part << "' in: " << text);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

Tune sample() {
  return parse_corpus(R"(tune: Night Bus
form: 4 bars
key: Eb
tempo: 140

Fm7 | Bb7
. c5 ab4 f4 (g4 ab4 bb4) c5 d5 | - f5 d5 bb4 ab4 - f4 .

Ebmaj7 C7 | Fm7 Bb7
g4 - - . (e4 g4 bb4) c5 bb4 | ab4 (. d5 c5) f4 - . . .
)",
                      "sample.txt")[0];
}

}  // namespace

TEST_CASE("midi: running status, velocity 0 and note-off all end notes") {
  const MidiSong song = read(one_track({0, 0x91, 60, 100, 48, 62, 90,      // two notes begin
                                        48, 60, 0, 0x10, 0x81, 62, 64}));  // both end
  REQUIRE(song.tracks.size() == 1);
  const auto& notes = song.tracks[0].notes;
  REQUIRE(notes.size() == 2);
  CHECK(notes[0].start == 0);
  CHECK(notes[0].length == 96);
  CHECK(notes[0].channel == 1);
  CHECK(notes[0].velocity == 100);
  CHECK(notes[1].start == 48);
  CHECK(notes[1].length == 64);
  CHECK(song.warnings.empty());
}

TEST_CASE("midi: of overlapping notes on one key the oldest ends first, on other channels none") {
  const MidiSong song =
      read(one_track({0, 0x90, 60, 1, 10, 60, 2, 10, 0x91, 60, 3, 10, 0x80, 60, 0, 10, 60, 0}));
  const auto& notes = song.tracks[0].notes;
  REQUIRE(notes.size() == 3);
  CHECK(notes[0].length == 30);
  CHECK(notes[1].length == 30);
  CHECK(notes[2].length == 20);  // never ended: until the end of the track
  REQUIRE(song.warnings.size() == 1);
  contains(song.warnings[0], "never ended");
}

TEST_CASE(
    "midi: names, tempos, meters, keys and markers are read, everything else is passed over") {
  const MidiSong song = read(one_track(
      Bytes{0, 0xff, 3, 4, 'S', 'o', '\n', 'g', 0, 0xff, 0x51, 3, 0x07, 0xa1, 0x20} +
      Bytes{0, 0xff, 0x58, 4, 6, 3, 24, 8, 0, 0xff, 0x59, 2, 0xfd, 1, 0, 0xff, 0x7f, 1, 9} +
      Bytes{0, 0xf0, 3, 1, 2, 0xf7, 0, 0xf7, 2, 0xff, 0xff} +  // system exclusive, escape
      Bytes{0, 0xc0, 5, 0, 0xd0, 6, 0, 0xe0, 7, 8, 0, 0xb0, 1, 2, 0, 0xa0, 3, 4} +
      Bytes{0x60, 0xff, 0x51, 3, 0x03, 0xd0, 0x90, 0, 0xff, 6, 2, 'F', '7'}));
  CHECK(song.tracks[0].name == "So g");  // no control characters
  REQUIRE(song.tempos.size() == 2);
  CHECK(song.tempos[0].microseconds == 500000);
  CHECK(song.tempos[1].tick == 96);
  CHECK(song.tempos[1].microseconds == 250000);
  REQUIRE(song.meters.size() == 1);
  CHECK(song.meters[0].beats == 6);
  CHECK(song.meters[0].unit == 8);
  CHECK(song.key == Key{0, true});  // three flats, minor
  REQUIRE(song.markers.size() == 1);
  CHECK(song.markers[0].text == "F7");
  CHECK(song.tracks[0].notes.empty());
}

TEST_CASE("midi: format 2 lays its patterns end to end") {
  const Bytes pattern = chunk("MTrk", Bytes{0, 0x90, 60, 1, 96, 60, 0} + kEndOfTrack);
  const MidiSong two = read(header(2, 2, 96) + pattern + pattern);
  CHECK(two.tracks[1].notes[0].start == 96);
  const MidiSong one = read(header(1, 2, 96) + pattern + pattern);
  CHECK(one.tracks[1].notes[0].start == 0);
}

TEST_CASE("midi: a longer header, unknown chunks and a RIFF wrapper are passed over") {
  const Bytes track = chunk("MTrk", Bytes{0, 0x90, 60, 1, 96, 60, 0} + kEndOfTrack);
  const Bytes long_header = letters("MThd") + big_endian(8, 4) + big_endian(1, 2) +
                            big_endian(1, 2) + big_endian(96, 2) + Bytes{1, 2};
  const Bytes plain = long_header + chunk("XFIH", {1, 2, 3}) + track;
  CHECK(read(plain).tracks[0].notes.size() == 1);
  const auto size = static_cast<std::uint8_t>(plain.size());
  const Bytes riff = letters("RIFF") + Bytes{99, 0, 0, 0} + letters("RMIDINFO") +
                     Bytes{3, 0, 0, 0, 7, 7, 7, 0} + letters("data") + Bytes{size, 0, 0, 0} + plain;
  CHECK(read(riff + letters("LIST")).tracks[0].notes.size() == 1);
  contains(error_of(letters("RIFF") + Bytes{4, 0, 0, 0} + letters("WAVE")),
           "byte 8: found a RIFF file of another kind, expected the form 'RMID'");
  contains(error_of(letters("RIFF") + Bytes{4, 0, 0, 0} + letters("RMID")), "RIFF chunk 'data'");
  contains(error_of(letters("RIFF____RMIDjunk") + Bytes{255, 255, 255, 255, 0}),
           "a RIFF chunk of 4294967295 bytes");
}

TEST_CASE("midi: SMPTE time counts half a second as a quarter, whatever the tempo events say") {
  const Bytes events = {0, 0xff, 0x51, 3, 1, 0, 0, 0, 0x90, 60, 1, 0x83, 0x74, 60, 0};  // 500 ticks
  MidiSong song = read(header(0, 1, 0xe728) + chunk("MTrk", events + kEndOfTrack));  // 25 x 40 / s
  CHECK(song.ticks_per_quarter == 500);
  CHECK(song.tempos.empty());
  const auto tunes = quantise(song);
  REQUIRE(tunes.size() == 1);
  CHECK(tunes[0].notes[0].length == 96);
  CHECK(tunes[0].tempo == 120);
  song = read(header(0, 1, 0xe350) + chunk("MTrk", kEndOfTrack));  // 29.97 x 80
  CHECK(song.ticks_per_quarter == doctest::Approx(30000.0 / 1001 * 80 / 2));
  contains(error_of(header(0, 1, 0xe700) + chunk("MTrk", kEndOfTrack)), "25 frames of 0 ticks");
  contains(error_of(header(0, 1, 0xf728) + chunk("MTrk", kEndOfTrack)), "9 frames");
}

TEST_CASE("midi: a track length that lies is forgiven where End of Track is certain") {
  const Bytes body = Bytes{0, 0x90, 60, 1, 96, 60, 0} + kEndOfTrack;
  Bytes too_long = header(0, 1, 96) + letters("MTrk") + big_endian(0xfffffff0, 4) + body;
  CHECK(read(too_long).tracks[0].notes[0].length == 96);
  contains(read(too_long).warnings.at(0), "shorter than its length says");
  too_long.resize(too_long.size() - 4);
  contains(error_of(too_long), "byte 29: found the end of the file, expected the rest of an event");

  // The first track's length swallows the second track.
  const Bytes swallowed = header(1, 2, 96) + letters("MTrk") + big_endian(body.size() + 30, 4) +
                          body + chunk("MTrk", body) + Bytes(30, 0);
  CHECK(read(swallowed).tracks.size() == 2);

  const Bytes too_short = header(0, 1, 96) + letters("MTrk") + big_endian(6, 4) + body;
  contains(error_of(too_short), "found the end of the track chunk, expected the rest of an event");
  const Bytes no_end = header(0, 1, 96) + chunk("MTrk", {0, 0x90, 60, 1, 96, 60, 0});
  contains(read(no_end).warnings.at(0), "no End of Track");
  CHECK(read(one_track({}) + letters("rubbish behind the end")).warnings.size() == 1);
}

TEST_CASE("midi: what cannot be music is refused with its offset, what was found and expected") {
  const Bytes track = chunk("MTrk", kEndOfTrack);
  CHECK(error_of({}) == "test.mid, byte 0: found other bytes, expected a MIDI header 'MThd'");
  contains(error_of(letters("ID3 not midi")), "byte 0: found other bytes");
  contains(error_of(letters("MThd") + big_endian(5, 4) + Bytes(20, 0)), "a header of 5 bytes");
  contains(error_of(letters("MThd") + big_endian(0xffffffff, 4) + Bytes(20, 0)),
           "byte 4: found a header of 4294967295 bytes, expected 6 or more, at most the 20 left");
  contains(error_of(header(3, 1, 96) + track), "byte 8: found format 3, expected 0, 1 or 2");
  contains(error_of(header(0, 1, 0) + track), "byte 12: found 0 ticks per quarter note");
  contains(error_of(header(1, 2, 96) + track), "found 1 tracks, expected 2");
  contains(error_of(header(1, 0, 96)), "found 0 tracks, expected 1");
  contains(error_of(header(1, 2, 96) + track + letters("MTr")), "found no chunk, expected a chunk");
  contains(error_of(header(0, 1, 96) + letters("XFIH") + big_endian(9, 4) + Bytes(3, 0)),
           "an unknown chunk of 9 bytes, expected at most the 3 left");
  contains(error_of(one_track({0, 60, 1})),
           "byte 23: found data byte 0x3c, expected a status byte");
  contains(error_of(one_track({0, 0x90, 60, 0x90})), "found byte 0x90 inside an event");
  contains(error_of(one_track({0, 0xf1, 0})), "found status byte 0xf1");
  contains(error_of(one_track({0x80, 0x80, 0x80, 0x80, 0})),
           "byte 22: found a variable-length number of more than 4 bytes");
  contains(error_of(one_track({0, 0xff, 1, 0xff, 0xff, 0xff, 0x7f})),
           "found an event of 268435455 bytes, expected at most the 4 left in the track");
  contains(error_of(one_track({0, 0xf0, 0x40})), "found an event of 64 bytes");
  contains(error_of(one_track({0, 0xff, 0x51, 3, 0, 0, 0})), "a tempo of 0 microseconds");
  contains(error_of(one_track({0, 0xff, 0x51, 2, 1, 0})), "found a tempo of 2 bytes, expected 3");
  contains(error_of(one_track({0, 0xff, 0x58, 4, 0, 2, 24, 8})), "time signature 0 over 2^2");
  contains(error_of(one_track({0, 0xff, 0x58, 4, 4, 60, 24, 8})), "time signature 4 over 2^60");
}

TEST_CASE("midi: absurdly long times are read, and refused by the quantiser") {
  Bytes events = {0, 0x90, 60, 1};
  for (int i = 0; i < 1000; ++i) events = events + Bytes{0xff, 0xff, 0xff, 0x7f, 60, 0};
  const MidiSong song = read(header(0, 1, 1) + chunk("MTrk", events + kEndOfTrack));
  CHECK(song.end == 1000LL * 268435455);
  CHECK_THROWS_WITH_AS(quantise(song), doctest::Contains("quarter notes, expected a song of at"),
                       MidiError);
}

TEST_CASE("midi: damaging a valid file anywhere gives music or a MidiError, nothing else") {
  const Bytes good = midi_bytes(sample());
  std::mt19937 dice(20240501);
  int read_well = 0;
  int refused = 0;
  for (int round = 0; round < 4000; ++round) {
    Bytes bad = good;
    const std::size_t damages = 1 + dice() % 4;
    for (std::size_t i = 0; i < damages; ++i) {
      const std::size_t place = round % 2 == 0 ? dice() % 60 : dice() % bad.size();
      bad[place % bad.size()] = static_cast<std::uint8_t>(dice());
    }
    if (dice() % 3 == 0) bad.resize(dice() % bad.size());
    try {
      const MidiSong song = read(bad);
      std::size_t notes = 0;
      for (const MidiTrack& track : song.tracks) notes += track.notes.size();
      CHECK(notes <= bad.size() / 3);
      for (const Tune& tune : quantise(song)) {
        const bool sane = std::all_of(tune.notes.begin(), tune.notes.end(), [](const Note& note) {
          return note.start >= 0 && note.length > 0 && note.pitch >= 0 && note.pitch < 128;
        });
        CHECK(sane);
      }
      ++read_well;
    } catch (const MidiError&) {
      ++refused;
    }
  }
  CHECK(read_well > 100);
  CHECK(refused > 100);
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK_THROWS_AS(read_midi(std::span(good).first(size), "cut.mid"), MidiError);
  }
}

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

TEST_CASE("midi: the top line of chords is their highest notes, one at a time") {
  const MidiSong song = read(one_track({0,    0x90, 60, 90, 0,  67, 90, 0,  64, 90, 0x60, 62, 90,
                                        0x60, 60,   0,  0,  62, 0,  0,  67, 0,  0,  64,   0}));
  const auto tunes = quantise(song, {.voices = Voices::top_line});
  CHECK(tunes.at(0).notes == std::vector<Note>{{0, 96, 67, 90}, {96, 96, 62, 90}});
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

TEST_CASE("midi: what is written reads back, with and without swing, in fast and slow tempos") {
  for (double tempo : {60.0, 140.0, 200.0, 300.0}) {
    for (bool swing : {false, true}) {
      CAPTURE(tempo);
      CAPTURE(swing);
      Tune tune = sample();
      tune.tempo = tempo;
      const MidiSong song = read(midi_bytes(tune, {.swing = swing, .rhythm_section = false}));
      CHECK(song.warnings.empty());
      CHECK(song.tracks.size() == 2);
      CHECK(song.tracks[0].name == "Night Bus");
      auto back = quantise(song, {.straighten_swing = swing});
      REQUIRE(back.size() == 1);
      for (Note& note : back[0].notes) note.velocity = kDefaultVelocity;
      CHECK(back[0].notes == tune.notes);
      CHECK(back[0].chords == tune.chords);
      CHECK(back[0].key == tune.key);
      CHECK(back[0].tempo == doctest::Approx(tempo).epsilon(1e-5));
    }
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
  CHECK_THROWS_WITH_AS(read_folder(folder), doctest::Contains("no *.mid"), std::runtime_error);
  write_midi(sample(), folder / "c.mid");
  write_midi(sample(), folder / "b" / "deep.mid" / "a.MIDI");
  std::ofstream(folder / "a.Mid") << "not music";
  std::ofstream(folder / "notes.txt") << "not read";
  const MidiFolder result = read_folder(folder);
  REQUIRE(result.songs.size() == 2);
  contains(result.songs[0].file, "a.MIDI");
  contains(result.songs[1].file, "c.mid");
  REQUIRE(result.damaged.size() == 1);
  CHECK(result.damaged[0].path == folder / "a.Mid");
  contains(result.damaged[0].reason, "byte 0: found other bytes");
  CHECK_THROWS_AS(write_midi(sample(), folder / "absent" / "x.mid"), std::runtime_error);
  CHECK_THROWS_WITH_AS(read_midi_file(folder / "b"), doctest::Contains("not a regular file"),
                       std::runtime_error);
  fs::remove_all(folder);
}
