// SPDX-License-Identifier: MIT
// Reader of Standard MIDI Files, written for files that lie about themselves.
// It never trusts a length: each byte is fetched through a check against the end of its chunk.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "examples/jazz/files.h"
#include "examples/jazz/midi.h"

namespace jazz {
namespace {

constexpr std::size_t kLargestFile = std::size_t{64} << 20;
constexpr std::size_t kMostWarnings = 8;
constexpr int kKeys = 16 * 128;  // channel * 128 + pitch

// Titles reach terminals and other files, so control characters are taken out.
std::string printable(std::span<const std::uint8_t> bytes) {
  std::string text(bytes.begin(), bytes.end());
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

class Reader {
 public:
  Reader(std::span<const std::uint8_t> bytes, std::string_view file)
      : bytes_(bytes), stop_(bytes.size()) {
    song_.file = file;
    oldest_.fill(-1);
    newest_.fill(-1);
  }

  MidiSong read() {
    unwrap_riff();
    read_header();
    while (at_ < file_end_ && read_chunk()) {
    }
    if (song_.tracks.size() < declared_tracks_ || song_.tracks.empty()) {
      fail(at_, fmt::format("{} tracks", song_.tracks.size()),
           fmt::format("{} as the header declares", std::max<std::size_t>(1, declared_tracks_)));
    }
    if (song_.tracks.size() > declared_tracks_) warn("more tracks than the header declares");
    auto earlier = [](const auto& a, const auto& b) { return a.tick < b.tick; };
    std::stable_sort(song_.tempos.begin(), song_.tempos.end(), earlier);
    std::stable_sort(song_.meters.begin(), song_.meters.end(), earlier);
    std::stable_sort(song_.markers.begin(), song_.markers.end(), earlier);
    if (song_.division < 0) song_.tempos.clear();
    return std::move(song_);
  }

 private:
  [[noreturn]] void fail(std::size_t offset, std::string_view found,
                         std::string_view expected) const {
    throw MidiError(song_.file, offset, found, expected);
  }

  void warn(std::string_view what) {
    if (song_.warnings.size() < kMostWarnings) {
      song_.warnings.push_back(fmt::format("byte {}: {}", at_, what));
    }
  }

  std::uint8_t byte() {
    if (at_ >= stop_) {
      const bool file_ends = stop_ == file_end_ || stop_ == bytes_.size();
      fail(at_, file_ends ? "the end of the file" : "the end of the track chunk",
           "the rest of an event");
    }
    return bytes_[at_++];
  }

  std::uint32_t number(int bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < bytes; ++i) value = value << 8 | byte();
    return value;
  }

  std::uint32_t variable_number() {
    const std::size_t begin = at_;
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const std::uint8_t next = byte();
      value = value << 7 | (next & 0x7fu);
      if (next < 0x80) return value;
    }
    fail(begin, "a variable-length number of more than 4 bytes", "at most 4 bytes");
  }

  std::uint8_t data_byte() {
    const std::uint8_t value = byte();
    if (value >= 0x80) {
      fail(at_ - 1, fmt::format("byte 0x{:02x} inside an event", value), "a data byte below 0x80");
    }
    return value;
  }

  // The payload of a meta or system exclusive event.
  std::span<const std::uint8_t> payload() {
    const std::size_t begin = at_;
    const std::uint32_t length = variable_number();
    if (length > stop_ - at_) {
      fail(begin, fmt::format("an event of {} bytes", length),
           fmt::format("at most the {} left in the track", stop_ - at_));
    }
    at_ += length;
    return bytes_.subspan(at_ - length, length);
  }

  bool is_here(std::size_t offset, std::string_view id) const {
    return offset + id.size() <= bytes_.size() &&
           std::memcmp(bytes_.data() + offset, id.data(), id.size()) == 0;
  }

  void unwrap_riff() {
    file_end_ = bytes_.size();
    if (!is_here(0, "RIFF")) return;
    if (!is_here(8, "RMID")) {
      fail(std::min<std::size_t>(8, bytes_.size()), "a RIFF file of another kind",
           "the form 'RMID'");
    }
    at_ = 12;
    for (;;) {
      const bool data = is_here(at_, "data");
      if (bytes_.size() - at_ < 8) fail(at_, "the end of the file", "a RIFF chunk 'data'");
      at_ += 4;
      std::size_t length = 0;
      for (int i = 0; i < 4; ++i) length |= std::size_t{byte()} << (8 * i);
      if (data) {
        file_end_ = at_ + std::min(length, bytes_.size() - at_);
        stop_ = file_end_;
        return;
      }
      if (length > bytes_.size() - at_) {
        fail(at_ - 4, fmt::format("a RIFF chunk of {} bytes", length), "one that ends in the file");
      }
      at_ = std::min(bytes_.size(), at_ + length + length % 2);
    }
  }

  void read_header() {
    const std::size_t begin = at_;
    if (!is_here(at_, "MThd")) fail(at_, "other bytes", "a MIDI header 'MThd'");
    at_ += 4;
    const std::uint32_t length = number(4);
    if (length < 6 || length > file_end_ - at_) {
      fail(begin + 4, fmt::format("a header of {} bytes", length),
           fmt::format("6 or more, at most the {} left in the file", file_end_ - at_));
    }
    const std::size_t end = at_ + length;
    song_.format = static_cast<int>(number(2));
    if (song_.format > 2) fail(at_ - 2, fmt::format("format {}", song_.format), "0, 1 or 2");
    declared_tracks_ = number(2);
    const std::uint32_t division = number(2);
    if (division < 0x8000) {
      if (division == 0) fail(at_ - 2, "0 ticks per quarter note", "1 or more");
      song_.division = static_cast<int>(division);
      song_.ticks_per_quarter = song_.division;
    } else {
      const int frames = 256 - static_cast<int>(division >> 8);
      const int ticks = static_cast<int>(division & 0xff);
      if ((frames != 24 && frames != 25 && frames != 29 && frames != 30) || ticks == 0) {
        fail(at_ - 2, fmt::format("an SMPTE division of {} frames of {} ticks", frames, ticks),
             "24, 25, 29 or 30 frames of at least 1 tick");
      }
      song_.division = static_cast<int>(division) - 0x10000;
      const double per_second = (frames == 29 ? 30000.0 / 1001.0 : frames) * ticks;
      song_.ticks_per_quarter = per_second / 2;
    }
    at_ = end;
  }

  // False at what can only be rubbish behind the last track.
  bool read_chunk() {
    const bool all_read = !song_.tracks.empty() && song_.tracks.size() >= declared_tracks_;
    const std::size_t begin = at_;
    const std::size_t left = file_end_ - begin;
    auto is_letter = [](std::uint8_t c) { return c >= 0x20 && c < 0x7f; };
    const bool named =
        left >= 8 && std::all_of(bytes_.begin() + static_cast<std::ptrdiff_t>(at_),
                                 bytes_.begin() + static_cast<std::ptrdiff_t>(at_) + 4, is_letter);
    if (!named) {
      if (!all_read) fail(begin, "no chunk", "a chunk of four letters and a length");
      warn("bytes behind the last track are ignored");
      return false;
    }
    const bool track = is_here(begin, "MTrk");
    at_ += 4;
    stop_ = file_end_;
    const std::uint32_t length = number(4);
    if (track) {
      read_track(length);
    } else if (length <= file_end_ - at_) {
      at_ += length;
    } else if (all_read) {
      warn("an unknown chunk behind the last track is cut short");
      return false;
    } else {
      fail(begin + 4, fmt::format("an unknown chunk of {} bytes", length),
           fmt::format("at most the {} left in the file", file_end_ - at_));
    }
    return true;
  }

  void read_track(std::size_t length) {
    const bool too_long = length > file_end_ - at_;
    stop_ = too_long ? file_end_ : at_ + length;
    song_.tracks.emplace_back();
    next_.clear();
    tick_ = song_.format == 2 ? song_.end : 0;
    status_ = 0;
    bool ended = false;
    while (!ended && (at_ < stop_ || too_long)) {
      tick_ += variable_number();
      ended = read_event();
    }
    close_open_notes();
    song_.end = std::max(song_.end, tick_);
    if (!ended) warn("the track has no End of Track");
    if (too_long) warn("the track is shorter than its length says");
    if (at_ < stop_ && !too_long) {
      warn("the track goes on after its End of Track");
      if (!is_here(at_, "MTrk")) at_ = stop_;
    }
  }

  bool read_event() {
    const std::size_t begin = at_;
    const std::uint8_t first = byte();
    if (first == 0xff) return read_meta();
    if (first == 0xf0 || first == 0xf7) {
      payload();
      return false;
    }
    if (first >= 0xf0) {
      fail(begin, fmt::format("status byte 0x{:02x}", first), "one that a MIDI file may hold");
    }
    if (first >= 0x80) {
      status_ = first;
    } else {
      --at_;
      if (status_ == 0) {
        fail(begin, fmt::format("data byte 0x{:02x}", first), "a status byte before any data");
      }
    }
    const std::uint8_t pitch = data_byte();
    const int kind = status_ >> 4;
    if (kind == 0xc || kind == 0xd) return false;
    const std::uint8_t velocity = data_byte();
    if (kind == 0x9 && velocity > 0) begin_note(pitch, velocity);
    if (kind == 0x8 || (kind == 0x9 && velocity == 0)) end_note(pitch);
    return false;
  }

  // True at End of Track.
  bool read_meta() {
    const std::size_t begin = at_ - 1;
    const std::uint8_t kind = byte();
    const auto data = payload();
    auto expect_size = [&](std::size_t size, std::string_view what) {
      if (data.size() < size) {
        fail(begin, fmt::format("{} of {} bytes", what, data.size()), fmt::format("{}", size));
      }
    };
    if (kind == 0x2f) return true;
    if (kind == 0x03 && song_.tracks.back().name.empty()) {
      song_.tracks.back().name = printable(data);
    } else if (kind == 0x06) {
      song_.markers.push_back({tick_, printable(data)});
    } else if (kind == 0x51) {
      expect_size(3, "a tempo");
      const int microseconds = data[0] << 16 | data[1] << 8 | data[2];
      if (microseconds == 0) fail(begin, "a tempo of 0 microseconds per quarter", "1 or more");
      song_.tempos.push_back({tick_, microseconds});
    } else if (kind == 0x58) {
      expect_size(2, "a time signature");
      if (data[0] == 0 || data[1] > 6) {
        fail(begin, fmt::format("time signature {} over 2^{}", data[0], data[1]),
             "1 or more beats of 2^0 to 2^6");
      }
      song_.meters.push_back({tick_, data[0], 1 << data[1]});
    } else if (kind == 0x59 && data.size() >= 2) {
      const int fifths = static_cast<std::int8_t>(data[0]);
      if (fifths < -7 || fifths > 7 || data[1] > 1) {
        warn("an impossible key signature is ignored");
      } else if (song_.key.tonic == kNoRoot) {
        const bool minor = data[1] == 1;
        song_.key = {(fifths * 7 + 84 + (minor ? 9 : 0)) % 12, minor};
      }
    }
    return false;
  }

  // Sounding notes of one key are a queue, linked through next_ so that no key owns memory.
  void begin_note(std::uint8_t pitch, std::uint8_t velocity) {
    auto& notes = song_.tracks.back().notes;
    const std::uint8_t channel = status_ & 0x0f;
    const std::size_t key = std::size_t{channel} * 128 + pitch;
    const int index = static_cast<int>(notes.size());
    notes.push_back({tick_, -1, channel, pitch, velocity});
    next_.push_back(-1);
    if (oldest_[key] < 0) {
      oldest_[key] = index;
    } else {
      next_[static_cast<std::size_t>(newest_[key])] = index;
    }
    newest_[key] = index;
  }

  void end_note(std::uint8_t pitch) {
    const std::size_t key = std::size_t{status_ & 0x0fu} * 128 + pitch;
    if (oldest_[key] < 0) return;
    const auto index = static_cast<std::size_t>(oldest_[key]);
    MidiNote& note = song_.tracks.back().notes[index];
    note.length = tick_ - note.start;
    oldest_[key] = next_[index];
  }

  void close_open_notes() {
    bool open = false;
    for (MidiNote& note : song_.tracks.back().notes) {
      if (note.length >= 0) continue;
      note.length = tick_ - note.start;
      oldest_[std::size_t{note.channel} * 128 + note.pitch] = -1;
      open = true;
    }
    if (open) warn("notes that are never ended last to the end of their track");
  }

  std::span<const std::uint8_t> bytes_;
  MidiSong song_;
  std::size_t at_ = 0;
  std::size_t stop_ = 0;      // end of the chunk being read
  std::size_t file_end_ = 0;  // end of the MIDI data, before the end of a RIFF file
  std::size_t declared_tracks_ = 0;
  std::int64_t tick_ = 0;
  std::uint8_t status_ = 0;
  std::array<int, kKeys> oldest_{};
  std::array<int, kKeys> newest_{};
  std::vector<int> next_;
};

}  // namespace

MidiError::MidiError(std::string_view file, std::size_t offset, std::string_view found,
                     std::string_view expected)
    : std::runtime_error(
          fmt::format("{}, byte {}: found {}, expected {}", file, offset, found, expected)),
      offset_(offset) {}

MidiSong read_midi(std::span<const std::uint8_t> bytes, std::string_view file) {
  return Reader(bytes, file).read();
}

MidiSong read_midi_file(const std::filesystem::path& path) {
  return read_midi(read_whole_file(path, kLargestFile), path.string());
}

MidiFolder read_folder(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(folder)) {
    throw std::runtime_error(
        fmt::format("{}: no such folder, expected a folder of MIDI files", folder.string()));
  }
  std::vector<fs::path> paths;
  for (const auto& entry :
       fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied)) {
    std::string extension = entry.path().extension().string();
    for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if ((extension == ".mid" || extension == ".midi") && !entry.is_directory()) {
      paths.push_back(entry.path());
    }
  }
  if (paths.empty()) {
    throw std::runtime_error(
        fmt::format("{}: holds no *.mid or *.midi file, also not in subfolders", folder.string()));
  }
  std::sort(paths.begin(), paths.end());
  MidiFolder result;
  for (const fs::path& path : paths) {
    try {
      result.songs.push_back(read_midi_file(path));
    } catch (const std::runtime_error& error) {
      result.damaged.push_back({path, error.what()});
    }
  }
  return result;
}

}  // namespace jazz
