// SPDX-License-Identifier: MIT
// MIDI files of a few bytes, for tests. The tests write out each deviation from the standard and
// need no real files.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "examples/jazz/midi/midi.h"
#include "examples/jazz/music/corpus.h"
#include "tests/messages.h"

namespace jazz::test {

using tapeloop::test::check_contains, tapeloop::test::kNothingThrown, tapeloop::test::message_of;

using Bytes = std::vector<std::uint8_t>;

inline const Bytes kEndOfTrack = {0, 0xff, 0x2f, 0};

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Bytes letters(std::string_view text) { return {text.begin(), text.end()}; }

inline Bytes big_endian(std::size_t value, int bytes) {
  Bytes out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  return out;
}

inline Bytes header(std::size_t format, std::size_t tracks, std::size_t division) {
  return letters("MThd") + big_endian(6, 4) + big_endian(format, 2) + big_endian(tracks, 2) +
         big_endian(division, 2);
}

inline Bytes chunk(std::string_view type, const Bytes& body) {
  return letters(type) + big_endian(body.size(), 4) + body;
}

// A format 0 file of 96 ticks per quarter around the events of one track.
inline Bytes one_track(const Bytes& events) {
  return header(0, 1, 96) + chunk("MTrk", events + kEndOfTrack);
}

inline MidiSong read(const Bytes& bytes) { return read_midi(bytes, "test.mid"); }

inline std::string error_of(const Bytes& bytes) {
  return message_of<MidiError>([&] { read(bytes); });
}

inline Tune sample() {
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

}  // namespace jazz::test
