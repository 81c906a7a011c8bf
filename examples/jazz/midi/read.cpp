// SPDX-License-Identifier: MIT
// Reader of Standard MIDI Files that does not trust the lengths and counts in a file. This file
// reads the container: RIFF wrapper, header, chunks. track.cpp reads the events.
#include <algorithm>

#include "examples/jazz/midi/bytes.h"

namespace jazz {
namespace {

class Reader {
 public:
  Reader(std::span<const std::uint8_t> bytes, std::string_view file)
      : bytes_(bytes, song_), track_(bytes_, song_) {
    song_.file = file;
  }

  MidiSong read() {
    unwrap_riff();
    read_header();
    while (bytes_.at < bytes_.end && read_chunk()) {
    }
    if (song_.tracks.size() < declared_tracks_ || song_.tracks.empty()) {
      bytes_.fail(
          bytes_.at, fmt::format("{} tracks", song_.tracks.size()),
          fmt::format("{} as the header declares", std::max<std::size_t>(1, declared_tracks_)));
    }
    if (song_.tracks.size() > declared_tracks_) bytes_.warn("more tracks than the header declares");
    auto earlier = [](const auto& a, const auto& b) { return a.tick < b.tick; };
    std::stable_sort(song_.tempos.begin(), song_.tempos.end(), earlier);
    std::stable_sort(song_.meters.begin(), song_.meters.end(), earlier);
    std::stable_sort(song_.markers.begin(), song_.markers.end(), earlier);
    if (song_.division < 0) song_.tempos.clear();
    return std::move(song_);
  }

 private:
  void unwrap_riff() {
    if (!bytes_.is_here(0, "RIFF")) return;
    if (!bytes_.is_here(8, "RMID")) {
      bytes_.fail(std::min<std::size_t>(8, bytes_.bytes.size()), "a RIFF file of another kind",
                  "the form 'RMID'");
    }
    bytes_.at = 12;
    for (;;) {
      const bool data = bytes_.is_here(bytes_.at, "data");
      if (bytes_.bytes.size() - bytes_.at < 8)
        bytes_.fail(bytes_.at, "the end of the file", "a RIFF chunk 'data'");
      bytes_.at += 4;
      std::size_t length = 0;
      for (int i = 0; i < 4; ++i) length |= std::size_t{bytes_.byte()} << (8 * i);
      if (data) {
        bytes_.end = bytes_.at + std::min(length, bytes_.bytes.size() - bytes_.at);
        bytes_.stop = bytes_.end;
        return;
      }
      if (length > bytes_.bytes.size() - bytes_.at) {
        bytes_.fail(bytes_.at - 4, fmt::format("a RIFF chunk of {} bytes", length),
                    "one that ends in the file");
      }
      bytes_.at = std::min(bytes_.bytes.size(), bytes_.at + length + length % 2);
    }
  }

  void read_header() {
    const std::size_t begin = bytes_.at;
    if (!bytes_.is_here(bytes_.at, "MThd"))
      bytes_.fail(bytes_.at, "other bytes", "a MIDI header 'MThd'");
    bytes_.at += 4;
    const std::uint32_t length = bytes_.number(4);
    if (length < 6 || length > bytes_.end - bytes_.at) {
      bytes_.fail(
          begin + 4, fmt::format("a header of {} bytes", length),
          fmt::format("6 or more, at most the {} left in the file", bytes_.end - bytes_.at));
    }
    const std::size_t end = bytes_.at + length;
    song_.format = static_cast<int>(bytes_.number(2));
    if (song_.format > 2)
      bytes_.fail(bytes_.at - 2, fmt::format("format {}", song_.format), "0, 1 or 2");
    declared_tracks_ = bytes_.number(2);
    const std::uint32_t division = bytes_.number(2);
    if (division < 0x8000) {
      if (division == 0) bytes_.fail(bytes_.at - 2, "0 ticks per quarter note", "1 or more");
      song_.division = static_cast<int>(division);
      song_.ticks_per_quarter = song_.division;
    } else {
      const int frames = 256 - static_cast<int>(division >> 8);
      const int ticks = static_cast<int>(division & 0xff);
      if ((frames != 24 && frames != 25 && frames != 29 && frames != 30) || ticks == 0) {
        bytes_.fail(bytes_.at - 2,
                    fmt::format("an SMPTE division of {} frames of {} ticks", frames, ticks),
                    "24, 25, 29 or 30 frames of at least 1 tick");
      }
      song_.division = static_cast<int>(division) - 0x10000;
      const double per_second = (frames == 29 ? 30000.0 / 1001.0 : frames) * ticks;
      song_.ticks_per_quarter = per_second / 2;
    }
    bytes_.at = end;
  }

  // Returns false at bytes after the last track that cannot be a chunk.
  bool read_chunk() {
    const bool all_read = !song_.tracks.empty() && song_.tracks.size() >= declared_tracks_;
    const std::size_t begin = bytes_.at;
    const std::size_t left = bytes_.end - begin;
    auto is_letter = [](std::uint8_t c) { return c >= 0x20 && c < 0x7f; };
    const bool named =
        left >= 8 &&
        std::all_of(bytes_.bytes.begin() + static_cast<std::ptrdiff_t>(bytes_.at),
                    bytes_.bytes.begin() + static_cast<std::ptrdiff_t>(bytes_.at) + 4, is_letter);
    if (!named) {
      if (!all_read) bytes_.fail(begin, "no chunk", "a chunk of four letters and a length");
      bytes_.warn("bytes behind the last track are ignored");
      return false;
    }
    const bool track = bytes_.is_here(begin, "MTrk");
    bytes_.at += 4;
    bytes_.stop = bytes_.end;
    const std::uint32_t length = bytes_.number(4);
    if (track) {
      track_.read(length);
    } else if (length <= bytes_.end - bytes_.at) {
      bytes_.at += length;
    } else if (all_read) {
      bytes_.warn("an unknown chunk behind the last track is cut short");
      return false;
    } else {
      bytes_.fail(begin + 4, fmt::format("an unknown chunk of {} bytes", length),
                  fmt::format("at most the {} left in the file", bytes_.end - bytes_.at));
    }
    return true;
  }

  MidiSong song_;
  MidiBytes bytes_;
  MidiTrackReader track_;
  std::size_t declared_tracks_ = 0;
};

}  // namespace

MidiSong read_midi(std::span<const std::uint8_t> bytes, std::string_view file) {
  MidiSong song = Reader(bytes, file).read();
  cut_gaps(song);
  return song;
}

}  // namespace jazz
