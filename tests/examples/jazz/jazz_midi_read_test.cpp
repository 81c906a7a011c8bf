// SPDX-License-Identifier: MIT
// Tests of the jazz example's MIDI reader: notes, metadata, containers, and refused files.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>

#include "tests/examples/jazz/jazz_midi_bytes.h"

using namespace jazz;
using namespace jazz::test;

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
  CHECK(notes[2].length == 20);  // never ended: lasts to the end of the track
  REQUIRE(song.warnings.size() == 1);
  check_contains(song.warnings[0], "some notes have no note-off");
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
  check_contains(error_of(letters("RIFF") + Bytes{4, 0, 0, 0} + letters("WAVE")),
                 "byte 8: found a RIFF file of another kind, expected the form 'RMID'");
  check_contains(error_of(letters("RIFF") + Bytes{4, 0, 0, 0} + letters("RMID")),
                 "RIFF chunk 'data'");
  check_contains(error_of(letters("RIFF____RMIDjunk") + Bytes{255, 255, 255, 255, 0}),
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
  check_contains(error_of(header(0, 1, 0xe700) + chunk("MTrk", kEndOfTrack)),
                 "25 frames of 0 ticks");
  check_contains(error_of(header(0, 1, 0xf728) + chunk("MTrk", kEndOfTrack)), "9 frames");
}

TEST_CASE("midi: a track length that lies is forgiven where End of Track is certain") {
  const Bytes body = Bytes{0, 0x90, 60, 1, 96, 60, 0} + kEndOfTrack;
  Bytes too_long = header(0, 1, 96) + letters("MTrk") + big_endian(0xfffffff0, 4) + body;
  CHECK(read(too_long).tracks[0].notes[0].length == 96);
  check_contains(read(too_long).warnings.at(0), "shorter than its length says");
  too_long.resize(too_long.size() - 4);
  check_contains(error_of(too_long),
                 "byte 29: found the end of the file, expected the rest of an event");

  // The first track's length swallows the second track.
  const Bytes swallowed = header(1, 2, 96) + letters("MTrk") + big_endian(body.size() + 30, 4) +
                          body + chunk("MTrk", body) + Bytes(30, 0);
  CHECK(read(swallowed).tracks.size() == 2);

  const Bytes too_short = header(0, 1, 96) + letters("MTrk") + big_endian(6, 4) + body;
  check_contains(error_of(too_short),
                 "found the end of the track chunk, expected the rest of an event");
  const Bytes no_end = header(0, 1, 96) + chunk("MTrk", {0, 0x90, 60, 1, 96, 60, 0});
  check_contains(read(no_end).warnings.at(0), "no End of Track");
  CHECK(read(one_track({}) + letters("rubbish behind the end")).warnings.size() == 1);
}

TEST_CASE("midi: what cannot be music is refused with its offset, what was found and expected") {
  const Bytes track = chunk("MTrk", kEndOfTrack);
  CHECK(error_of({}) == "test.mid, byte 0: found other bytes, expected a MIDI header 'MThd'");
  check_contains(error_of(letters("ID3 not midi")), "byte 0: found other bytes");
  check_contains(error_of(letters("MThd") + big_endian(5, 4) + Bytes(20, 0)),
                 "a header of 5 bytes");
  check_contains(
      error_of(letters("MThd") + big_endian(0xffffffff, 4) + Bytes(20, 0)),
      "byte 4: found a header of 4294967295 bytes, expected 6 or more, at most the 20 left");
  check_contains(error_of(header(3, 1, 96) + track), "byte 8: found format 3, expected 0, 1 or 2");
  check_contains(error_of(header(0, 1, 0) + track), "byte 12: found 0 ticks per quarter note");
  check_contains(error_of(header(1, 2, 96) + track), "found 1 tracks, expected 2");
  check_contains(error_of(header(1, 0, 96)), "found 0 tracks, expected 1");
  check_contains(error_of(header(1, 2, 96) + track + letters("MTr")),
                 "found no chunk, expected a chunk");
  check_contains(error_of(header(0, 1, 96) + letters("XFIH") + big_endian(9, 4) + Bytes(3, 0)),
                 "an unknown chunk of 9 bytes, expected at most the 3 left");
  check_contains(error_of(one_track({0, 60, 1})),
                 "byte 23: found data byte 0x3c, expected a status byte");
  check_contains(error_of(one_track({0, 0x90, 60, 0x90})), "found byte 0x90 inside an event");
  check_contains(error_of(one_track({0, 0xf4, 0})), "byte 23: found status byte 0xf4");
  check_contains(error_of(one_track({0x80, 0x80, 0x80, 0x80, 0})),
                 "byte 22: found a variable-length number of more than 4 bytes");
  check_contains(error_of(one_track({0, 0xff, 1, 0xff, 0xff, 0xff, 0x7f})),
                 "found an event of 268435455 bytes, expected at most the 4 left in the track");
  check_contains(error_of(one_track({0, 0xf0, 0x40})), "found an event of 64 bytes");
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
