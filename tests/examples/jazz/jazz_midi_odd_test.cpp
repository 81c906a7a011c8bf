// SPDX-License-Identifier: MIT
// Tests of the jazz example's MIDI reader on odd files. Oddities that do not concern the notes are
// ignored with a warning. Damaged times neither stretch a piece nor cost time or memory.
#include <doctest/doctest.h>

#include <ctime>
#include <string>

#include "examples/jazz/material.h"
#include "examples/jazz/music/chart.h"
#include "examples/jazz/music/events.h"
#include "tests/examples/jazz/jazz_midi_bytes.h"
#include "tests/folder.h"

using namespace jazz;
using namespace jazz::test;

namespace {

// Two notes of a quarter each, the second one on the second beat. The oddity is before the first
// note.
Bytes around(const Bytes& oddity) {
  return one_track(oddity + Bytes{0, 0x90, 60, 90, 96, 60, 0, 0, 62, 90, 96, 62, 0});
}

const std::vector<Note> kTwoNotes = {{0, 96, 60, 90}, {96, 96, 62, 90}};

// The notes of the only tune.
std::vector<Note> notes_of(const MidiSong& song) {
  const std::vector<Tune> tunes = quantise(song);
  REQUIRE(tunes.size() == 1);
  return tunes[0].notes;
}

struct Oddity {
  Bytes bytes;
  std::string warning;
};

void check_read(const Bytes& bytes, const std::string& warning) {
  CAPTURE(warning);
  const MidiSong song = read(bytes);
  REQUIRE(song.warnings.size() == 1);
  check_contains(song.warnings[0], warning);
  CHECK(notes_of(song) == kTwoNotes);
}

std::size_t events_of(const MidiSong& song) {
  std::size_t events = 0;
  for (const Tune& tune : quantise(song)) events += encode(tune).size();
  return events;
}

Bytes variable(std::uint32_t value) {
  Bytes bytes;
  for (int shift = 21; shift > 0; shift -= 7) {
    if (value >> shift != 0) {
      bytes.push_back(static_cast<std::uint8_t>(0x80 | (value >> shift & 0x7f)));
    }
  }
  bytes.push_back(static_cast<std::uint8_t>(value & 0x7f));
  return bytes;
}

constexpr std::uint32_t kLongestDelta = 0x0fffffff;  // of a file; 32 days at 96 a quarter
constexpr std::uint32_t kLongestBars = kLongestDelta / 1152 * 1152;  // whole bars of 3/4 and of 4/4

}  // namespace

TEST_CASE("midi: impossible tempos, meters and keys are ignored with a warning, the notes read") {
  const Oddity oddities[] = {
      {{0, 0xff, 0x51, 3, 0, 0, 0}, "byte 29: a tempo of 0 microseconds per quarter is ignored"},
      {{0, 0xff, 0x51, 2, 1, 0}, "a tempo of 2 bytes, expected 3, is ignored"},
      {{0, 0xff, 0x51, 0}, "a tempo of 0 bytes"},
      {{0, 0xff, 0x58, 4, 4, 33, 24, 8},
       "the time signature 4 over 2^33, expected 1 or more beats"},
      {{0, 0xff, 0x58, 4, 0, 2, 24, 8}, "the time signature 0 over 2^2"},
      {{0, 0xff, 0x58, 4, 4, 255, 24, 8}, "the time signature 4 over 2^255"},
      {{0, 0xff, 0x58, 1, 4}, "a time signature of 1 bytes, expected 2, is ignored"},
      {{0, 0xff, 0x58, 0}, "a time signature of 0 bytes"},
      {{0, 0xff, 0x59, 2, 8, 0}, "an impossible key signature is ignored"},
      {{0, 0xff, 0x59, 2, 0, 7}, "an impossible key signature is ignored"},
      {{0, 0xff, 0x59, 1, 0}, "a key signature of 1 bytes, expected 2, is ignored"},
  };
  for (const Oddity& odd : oddities) {
    check_read(around(odd.bytes), odd.warning);
    const MidiSong song = read(around(odd.bytes));
    CHECK(song.tempos.empty());
    CHECK(song.meters.empty());
    CHECK(song.key == Key{});
  }
  // A valid one after it takes effect.
  const MidiSong song =
      read(around({0, 0xff, 0x58, 4, 0, 2, 24, 8, 0, 0xff, 0x58, 4, 3, 2, 24, 8}));
  REQUIRE(song.meters.size() == 1);
  CHECK(song.meters[0].beats == 3);
}

TEST_CASE("midi: metadata of any length that says nothing about the notes is passed over") {
  for (int kind = 0; kind < 256; ++kind) {
    CAPTURE(kind);
    const auto k = static_cast<std::uint8_t>(kind);
    if (k == 0x2f || k == 0x51 || k == 0x58 || k == 0x59) continue;
    for (const std::uint8_t size : Bytes{0, 1, 2, 5}) {
      const MidiSong song = read(around(Bytes{0, 0xff, k, size} + Bytes(size, 'x')));
      CHECK(song.warnings.empty());
      CHECK(notes_of(song) == kTwoNotes);
    }
  }
  const Bytes notes = {0, 0x90, 60, 90, 96, 60, 0, 0, 62, 90, 96, 62, 0};
  const MidiSong song = read(header(0, 1, 96) + chunk("MTrk", notes + Bytes{0, 0xff, 0x2f, 1, 0}));
  check_contains(song.warnings.at(0), "the End of Track has 1 bytes, expected none");
  CHECK(notes_of(song) == kTwoNotes);
}

TEST_CASE("midi: real-time and system common messages are ignored with a warning") {
  for (int status : {0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe}) {
    CAPTURE(status);
    const auto s = static_cast<std::uint8_t>(status);
    const std::string warning =
        "the real-time message 0x" + std::string("f") + "89abcde"[status - 0xf8] + " is ignored";
    check_read(around({0, s}), warning);                // a separate event
    check_read(around({0, 0xb0, 7, s, 100}), warning);  // inside another event
    check_read(around({0, 0xb0, s, 7, 100}), warning);
  }
  check_read(around({0, 0xf1, 5}), "the system message 0xf1 is ignored");
  check_read(around({0, 0xf2, 5, 6}), "the system message 0xf2 is ignored");
  check_read(around({0, 0xf3, 5}), "the system message 0xf3 is ignored");
  check_read(around({0, 0xf6}), "the system message 0xf6 is ignored");
  check_read(around({0, 0xf7, 3, 0x90, 64, 90}), "the escaped message 0x90 is ignored");
  check_contains(error_of(around({0, 0xf5, 1})), "byte 23: found status byte 0xf5");
}

TEST_CASE("midi: a stray real-time byte in front of any byte of an event but its time is skipped") {
  const Bytes plain = {0, 0x90, 60, 90, 96, 60, 0, 0, 62, 90, 96, 62, 0};
  // Statuses, pitches and velocities. Before a time, a stray byte would be part of that time.
  for (const std::uint8_t place : Bytes{1, 2, 3, 5, 6, 8, 9, 11, 12}) {
    CAPTURE(place);
    Bytes events = plain;
    events.insert(events.begin() + place, 0xf8);
    const MidiSong song = read(one_track(events));
    REQUIRE(song.warnings.size() == 1);
    check_contains(song.warnings[0], "the real-time message 0xf8 is ignored");
    CHECK(notes_of(song) == kTwoNotes);
  }
  // A clock of 24 events a quarter, as sequencers record it, and times of two bytes after it.
  Bytes clock = {0, 0x90, 60, 90};
  for (int i = 0; i < 24; ++i) clock = clock + Bytes{4, 0xf8};
  clock = clock + Bytes{0, 60, 0, 0x81, 0x40, 0xf8, 0x81, 0x40, 0x80, 62, 0};
  const MidiSong song = read(one_track(clock));
  CHECK(song.warnings.size() == kMostMidiWarnings);
  REQUIRE(song.tracks[0].notes.size() == 1);
  CHECK(song.tracks[0].notes[0].length == 96);
  CHECK(song.end == 96 + 2 * 192);
}

TEST_CASE("midi: running status survives metadata, exclusives and system messages") {
  for (const Bytes& between :
       {Bytes{0, 0xff, 1, 1, 'x'}, Bytes{0, 0xf0, 1, 0xf7}, Bytes{0, 0xf6}}) {
    const MidiSong song = read(one_track(Bytes{0, 0x90, 60, 90} + between + Bytes{96, 60, 0} +
                                         Bytes{0, 62, 90} + between + Bytes{96, 62, 0}));
    CHECK(notes_of(song) == kTwoNotes);
  }
}

TEST_CASE("midi: a real-time byte does not hide damage") {
  check_contains(error_of(one_track({0, 0xf8, 0, 0x90, 60, 0x90})),
                 "found byte 0x90 inside an event");
  check_contains(error_of(one_track({0, 0xf8, 0, 60, 1})), "found data byte 0x3c");
  check_contains(error_of(one_track({0, 0x90, 60, 0xff})), "found byte 0xff inside an event");
}

TEST_CASE("midi: a time of days is cut to 64 bars, with a warning, wherever it stands") {
  const Bytes long_time = variable(kLongestBars);
  const int cut = kLongestGap * kTicksPerQuarter;
  // Before the first note.
  MidiSong song = read(one_track(long_time + Bytes{0x90, 60, 90, 96, 60, 0}));
  CHECK(notes_of(song) == std::vector<Note>{{cut, 96, 60, 90}});
  REQUIRE(song.warnings.size() == 1);
  check_contains(song.warnings[0],
                 "nothing happens for 2796192 quarter notes from quarter note 0 on: cut to 256");
  // Between two notes.
  song = read(one_track(Bytes{0, 0x90, 60, 90, 96, 60, 0} + long_time + Bytes{62, 90, 96, 62, 0}));
  CHECK(notes_of(song) == std::vector<Note>{{0, 96, 60, 90}, {96 + cut, 96, 62, 90}});
  // Within a note, and before the End of Track.
  song = read(one_track(Bytes{0, 0x90, 60, 90} + long_time + Bytes{60, 0}));
  CHECK(notes_of(song) == std::vector<Note>{{0, cut, 60, 90}});
  song = read(header(0, 1, 96) +
              chunk("MTrk", Bytes{0, 0x90, 60, 90, 96, 60, 0} + long_time + Bytes{0xff, 0x2f, 0}));
  CHECK(notes_of(song) == std::vector<Note>{{0, 96, 60, 90}});
  CHECK(song.end == 96 + cut);
  CHECK(song.warnings.size() == 1);
  // A gap of 64 bars stays.
  song =
      read(one_track(variable(static_cast<std::uint32_t>(cut)) + Bytes{0x90, 60, 90, 96, 60, 0}));
  CHECK(song.warnings.empty());
  CHECK(song.tracks[0].notes[0].start == cut);
}

TEST_CASE("midi: notes behind a cut stay on the beats of their bars") {
  for (const std::uint8_t beats : Bytes{3, 4, 5}) {
    CAPTURE(beats);
    // A staccato note that ends off the beat, a silence to the second beat of a bar, then quarters.
    const std::uint32_t bar = 96u * beats;
    Bytes events = Bytes{0, 0xff, 0x58, 4, beats, 2, 24, 8, 0, 0x90, 60, 90, 17, 60, 0} +
                   variable(1000 * bar + 96 - 17);
    for (const std::uint8_t pitch : Bytes{62, 64, 65, 67, 69}) {
      if (pitch != 62) events.push_back(0);
      events = events + Bytes{pitch, 90, 96, pitch, 0};
    }
    const MidiSong song = read(one_track(events));
    REQUIRE(song.warnings.size() == 1);
    const std::vector<MidiNote>& notes = song.tracks.at(0).notes;
    REQUIRE(notes.size() == 6);
    CHECK(notes[1].start <= 17 + kLongestGap * 96);
    CHECK(notes[1].start > 17 + kLongestGap * 96 - bar);
    for (std::size_t i = 1; i < notes.size(); ++i) {
      CHECK(notes[i].start % bar == 96 * i % bar);
    }
    const std::vector<Tune> tunes = quantise(song);
    REQUIRE(tunes.size() == 1);
    for (const Note& note : tunes[0].notes) CHECK(note.start % 96 == 0);
  }
  // A bar of more than 256 quarter notes is itself cut, by whole quarters.
  const MidiSong song =
      read(one_track(Bytes{0, 0xff, 0x58, 4, 255, 0, 24, 8, 0, 0x90, 60, 90, 17, 60, 0} +
                     variable(500 * 96 - 17) + Bytes{62, 90, 96, 62, 0}));
  CHECK(song.tracks.at(0).notes.at(1).start == kLongestGap * 96);
}

TEST_CASE("midi: the first cut is the first warning, also among many") {
  Bytes odd;
  for (int i = 0; i < 12; ++i) odd = odd + Bytes{0, 0xff, 0x51, 3, 0, 0, 0};
  const MidiSong song =
      read(one_track(odd + variable(kLongestDelta) + Bytes{0x90, 60, 90, 96, 60, 0} +
                     variable(kLongestDelta) + Bytes{62, 90, 96, 62, 0}));
  REQUIRE(song.warnings.size() == kMostMidiWarnings);
  check_contains(song.warnings[0],
                 "nothing happens for 2796203 quarter notes from quarter note 0 on");
  check_contains(song.warnings[1], "a tempo of 0 microseconds");
}

TEST_CASE("midi: many small tracks with a real-time message take as long as others do") {
  const auto seconds = [](const Bytes& events) {
    Bytes bytes = header(1, 60000, 96);
    const Bytes track = chunk("MTrk", events);
    for (int i = 0; i < 100000; ++i) bytes.insert(bytes.end(), track.begin(), track.end());
    const std::clock_t begun = std::clock();
    CHECK(read(bytes).tracks.size() == 100000);
    return static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  };
  const double plain = seconds({0, 0xb0, 7, 100});
  CHECK(seconds({0, 0xf8}) < 6 * plain + 0.02);
}

TEST_CASE("midi: a cut moves tempos, meters, markers and all tracks together") {
  const Bytes long_time = variable(kLongestBars);
  const Bytes conductor = Bytes{0, 0xff, 0x58, 4, 3, 2, 24, 8} + long_time +
                          Bytes{0xff, 0x58, 4, 4, 2, 24, 8, 0, 0xff, 0x51, 3, 7, 0xa1, 0x20, 0} +
                          Bytes{0xff, 6, 2, 'F', '7'};
  const Bytes player =
      Bytes{0, 0x90, 60, 90, 96, 60, 0} + variable(kLongestBars - 96) + Bytes{62, 90, 96, 62, 0};
  const MidiSong song = read(header(1, 2, 96) + chunk("MTrk", conductor + kEndOfTrack) +
                             chunk("MTrk", player + kEndOfTrack));
  const int moved = 85 * 3 * 96;  // last bar line of 3/4 within the longest gap
  CHECK(song.meters.at(1).tick == moved);
  CHECK(song.tempos.at(0).tick == moved);
  CHECK(song.markers.at(0).tick == moved);
  CHECK(song.tracks.at(1).notes.at(1).start == moved);
  const std::vector<Tune> tunes = quantise(song);
  REQUIRE(tunes.size() == 2);
  CHECK(tunes[1].notes == std::vector<Note>{{0, 96, 62, 90}});
  // A track that pauses while another plays is not cut.
  Bytes busy;
  for (int i = 0; i < 400; ++i) busy = busy + Bytes{0, 0x91, 40, 90, 96, 40, 0};
  const MidiSong two =
      read(header(1, 2, 96) + chunk("MTrk", busy + kEndOfTrack) +
           chunk("MTrk", variable(399 * 96) + Bytes{0x90, 60, 90, 96, 60, 0} + kEndOfTrack));
  CHECK(two.warnings.empty());
  CHECK(two.tracks.at(1).notes.at(0).start == 399 * 96);
}

TEST_CASE("midi: work and memory grow with the notes, not with the times they state") {
  // A file of 51 bytes: a note, a month, a note. Such a file once cost 131,000 events.
  const Bytes small = one_track(Bytes{0, 0x90, 60, 90, 96, 60, 0} + variable(kLongestDelta) +
                                Bytes{62, 90, 96, 62, 0});
  CHECK(small.size() < 52);
  CHECK(events_of(read(small)) <= 2 + 32);
  // The longest time before every note, in ticks of every size. 8 quarters are the longest step.
  for (const std::size_t division : {std::size_t{1}, std::size_t{96}, std::size_t{0x7fff}}) {
    CAPTURE(division);
    Bytes events;
    for (int i = 0; i < 1000; ++i) {
      events = events + variable(kLongestDelta) + Bytes{0x90, 60, 90, 1, 60, 0};
    }
    const MidiSong song = read(header(0, 1, division) + chunk("MTrk", events + kEndOfTrack));
    CHECK(song.warnings.size() == kMostMidiWarnings);
    CHECK(static_cast<double>(song.end) / song.ticks_per_quarter <= 1000 * (kLongestGap + 2));
    CHECK(events_of(song) <= 1000 * (kLongestGap / 8 + 2));
  }
  // Thousands of tempos and meters over months, and many notes at one tick.
  Bytes tempos;
  for (int i = 0; i < 3000; ++i) {
    tempos = tempos + variable(kLongestDelta) + Bytes{0xff, 0x51, 3, 1, 0, 0};
    tempos = tempos + Bytes{0, 0xff, 0x58, 4, static_cast<std::uint8_t>(2 + i % 2), 2, 24, 8};
  }
  CHECK(quantise(read(header(0, 1, 0x7fff) + chunk("MTrk", tempos + kEndOfTrack))).empty());
  Bytes chord;
  for (int i = 0; i < 100000; ++i) chord.insert(chord.end(), {0, 0x90, 60, 90});
  CHECK(events_of(read(one_track(chord))) == 100000);
}

TEST_CASE("midi: a song of more than 2^20 quarter notes is refused by the quantiser") {
  Bytes events;
  for (int i = 0; i < 5000; ++i) {
    events = events + variable(kLongestDelta) + Bytes{0x90, 60, 90, 1, 60, 0};
  }
  const MidiSong song = read(header(0, 1, 1) + chunk("MTrk", events + kEndOfTrack));
  CHECK_THROWS_WITH_AS(quantise(song), doctest::Contains("quarter notes, expected a song of at"),
                       MidiError);
}

TEST_CASE("midi: what is generated after a file of an absurd tempo can be written") {
  for (const Bytes& tempo : {Bytes{0, 0, 1}, Bytes{0xff, 0xff, 0xff}}) {
    const std::vector<Tune> tunes = quantise(read(around(Bytes{0, 0xff, 0x51, 3} + tempo)));
    const Tune chart = empty_chart(tunes.at(0), 4);
    CHECK(chart.tempo >= kSlowestTempo);
    CHECK(chart.tempo <= kFastestTempo);
    CHECK(read(midi_bytes(chart)).warnings.empty());
  }
}

TEST_CASE("midi: the material tells what was odd in its files, of ten at most one by one") {
  const tapeloop::test::Folder folder;
  const Bytes odd = around({0, 0xff, 0x51, 3, 0, 0, 0, 0, 0xf8});
  for (char c = 'a'; c < 'm'; ++c) {
    tapeloop::test::put(folder.file(std::string(1, c) + ".mid"), {odd.begin(), odd.end()});
  }
  const Material material = read_material(folder.path);
  CHECK(material.left_out.empty());
  REQUIRE(material.warnings.size() == 11);
  CHECK(material.warnings[0] ==
        folder.file("a.mid") +
            ": byte 29: a tempo of 0 microseconds per quarter is ignored; and 1 more");
  CHECK(material.warnings[10] == "2 more files have warnings");
}

TEST_CASE("midi: a title is kept to 255 bytes, whole characters of UTF-8") {
  std::string name;
  for (int i = 0; i < 200; ++i) name += "é";
  const Bytes size = variable(static_cast<std::uint32_t>(name.size()));
  const MidiSong song = read(around(Bytes{0, 0xff, 3} + size + letters(name)));
  CHECK(song.tracks[0].name == name.substr(0, 254));
}
