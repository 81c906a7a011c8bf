// SPDX-License-Identifier: MIT
// Fetches the bytes of a MIDI file one by one, for the readers of chunks and of tracks. Trusts no
// length: each fetch is checked against the end of the chunk.
#pragma once

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "examples/jazz/midi/midi.h"

namespace jazz {

class MidiBytes {
 public:
  // Errors name song.file, warnings go to song.warnings.
  MidiBytes(std::span<const std::uint8_t> all, MidiSong& song)
      : bytes(all), stop(all.size()), end(all.size()), song_(song) {}

  const std::span<const std::uint8_t> bytes;
  std::size_t at = 0;
  std::size_t stop;  // end of the chunk being read
  std::size_t end;   // end of the MIDI data, before the end of a RIFF file

  [[noreturn]] void fail(std::size_t offset, std::string_view found,
                         std::string_view expected) const {
    throw MidiError(song_.file, offset, found, expected);
  }

  template <class... Args>
  void warn(fmt::format_string<Args...> what, Args&&... args) {
    if (song_.warnings.size() >= kMostMidiWarnings) return;
    song_.warnings.push_back(
        fmt::format("byte {}: {}", at, fmt::format(what, std::forward<Args>(args)...)));
  }

  std::uint8_t byte() {
    if (at >= stop) {
      const bool file_ends = stop == end || stop == bytes.size();
      fail(at, file_ends ? "the end of the file" : "the end of the track chunk",
           "the rest of an event");
    }
    return bytes[at++];
  }

  // Big-endian.
  std::uint32_t number(int size) {
    std::uint32_t value = 0;
    for (int i = 0; i < size; ++i) value = value << 8 | byte();
    return value;
  }

  std::uint32_t variable_number() {
    const std::size_t begin = at;
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const std::uint8_t next = byte();
      value = value << 7 | (next & 0x7fu);
      if (next < 0x80) return value;
    }
    fail(begin, "a variable-length number of more than 4 bytes", "at most 4 bytes");
  }

  // The payload of a meta or system exclusive event.
  std::span<const std::uint8_t> payload() {
    const std::size_t begin = at;
    const std::uint32_t length = variable_number();
    if (length > stop - at) {
      fail(begin, fmt::format("an event of {} bytes", length),
           fmt::format("at most the {} left in the track", stop - at));
    }
    at += length;
    return bytes.subspan(at - length, length);
  }

  bool is_here(std::size_t offset, std::string_view id) const {
    return offset + id.size() <= bytes.size() &&
           std::memcmp(bytes.data() + offset, id.data(), id.size()) == 0;
  }

 private:
  MidiSong& song_;
};

// Reads the events of track chunks into a song.
class MidiTrackReader {
 public:
  MidiTrackReader(MidiBytes& bytes, MidiSong& song);

  // Adds the track whose events begin at bytes.at and whose chunk states `length` bytes. Throws
  // MidiError.
  void read(std::size_t length);

 private:
  // Everything that reading a track changes.
  struct Place {
    std::size_t at, tracks, tempos, meters, markers, warnings;
    Key key;
  };
  Place place() const;
  void go_back(const Place& to);

  bool read_events(bool too_long, bool real_time_is_stray);
  bool read_event(bool real_time_is_stray);
  bool read_meta();
  bool has_size(std::span<const std::uint8_t> data, std::size_t size, std::string_view what);
  void read_tempo(std::span<const std::uint8_t> data);
  void read_meter(std::span<const std::uint8_t> data);
  void read_key(std::span<const std::uint8_t> data);
  std::uint8_t data_byte();
  void skip_real_time(std::uint8_t value);
  void skip_system_common(std::uint8_t status);
  void begin_note(std::uint8_t pitch, std::uint8_t velocity);
  void end_note(std::uint8_t pitch);
  void close_open_notes();

  MidiBytes& bytes_;
  MidiSong& song_;
  std::int64_t tick_ = 0;
  std::uint8_t status_ = 0;
  bool real_time_ = false;  // true if the track has a real-time message
  // The sounding notes of one key (channel * 128 + pitch) form a queue. next_ links them, so that
  // no key owns memory. The values are indices of the track's notes; -1: none.
  std::vector<int> oldest_;
  std::vector<int> newest_;
  std::vector<int> next_;
};

}  // namespace jazz
