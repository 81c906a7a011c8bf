// SPDX-License-Identifier: MIT
// Reads the events of one track: notes, and the metadata that quantising uses. Ignores everything
// else.
#include <algorithm>
#include <iterator>

#include "examples/jazz/midi/bytes.h"

namespace jazz {
namespace {

constexpr std::size_t kLongestName = 255;
constexpr std::size_t kKeys = 16 * 128;  // channel * 128 + pitch

// Titles reach terminals and other files, so this removes control characters. Every tune of a file
// gets its title, so this cuts a long one, between characters of UTF-8.
std::string printable(std::span<const std::uint8_t> bytes) {
  std::size_t size = std::min(bytes.size(), kLongestName);
  if (size < bytes.size()) {
    while (size + 3 > kLongestName && (bytes[size] & 0xc0u) == 0x80u) --size;
  }
  std::string text(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

std::size_t key_of(const MidiNote& note) { return std::size_t{note.channel} * 128 + note.pitch; }

// A real-time message may be anywhere on a MIDI cable. Some recorders copy it unchanged into the
// file.
bool is_real_time(std::uint8_t value) { return value >= 0xf8 && value != 0xff; }

}  // namespace

MidiTrackReader::MidiTrackReader(MidiBytes& bytes, MidiSong& song)
    : bytes_(bytes), song_(song), oldest_(kKeys, -1), newest_(kKeys, -1) {}

MidiTrackReader::Place MidiTrackReader::place() const {
  return {bytes_.at,
          song_.tracks.size(),
          song_.tempos.size(),
          song_.meters.size(),
          song_.markers.size(),
          song_.warnings.size(),
          song_.key};
}

void MidiTrackReader::go_back(const Place& to) {
  bytes_.at = to.at;
  // Only these keys can be in use: clearing all takes long for thousands of small tracks.
  for (std::size_t i = to.tracks; i < song_.tracks.size(); ++i) {
    for (const MidiNote& note : song_.tracks[i].notes) oldest_[key_of(note)] = -1;
  }
  song_.tracks.resize(to.tracks);
  song_.tempos.resize(to.tempos);
  song_.meters.resize(to.meters);
  song_.markers.resize(to.markers);
  song_.warnings.resize(to.warnings);
  song_.key = to.key;
}

// A real-time message in a track is either an event of its own, with the time to the next event
// behind it, or a stray byte before a status byte. Reads the track in the first way if this gives
// an End of Track, else in the second way if that gives one, else in the first way. A reading that
// fails takes microseconds, and a file may have millions of small tracks: a track without the bytes
// of an End of Track is read once.
void MidiTrackReader::read(std::size_t length) {
  const bool too_long = length > bytes_.end - bytes_.at;
  bytes_.stop = too_long ? bytes_.end : bytes_.at + length;
  const Place begin = place();
  const auto may_end = [&] {
    constexpr std::uint8_t kEnd[] = {0xff, 0x2f};
    const auto track = bytes_.bytes.subspan(begin.at, bytes_.stop - begin.at);
    return std::search(track.begin(), track.end(), std::begin(kEnd), std::end(kEnd)) != track.end();
  };
  real_time_ = false;
  bool ended = false;
  try {
    ended = read_events(too_long, false);
  } catch (const MidiError&) {
    if (!real_time_ || !may_end()) throw;
  }
  if (!ended && real_time_ && may_end()) {
    go_back(begin);
    try {
      ended = read_events(too_long, true);
    } catch (const MidiError&) {
    }
    if (!ended) {
      go_back(begin);
      ended = read_events(too_long, false);
    }
  }
  song_.end = std::max(song_.end, tick_);
  if (!ended) bytes_.warn("the track has no End of Track");
  if (too_long) bytes_.warn("the track is shorter than its length says");
  if (bytes_.at < bytes_.stop && !too_long) {
    bytes_.warn("the track goes on after its End of Track");
    if (!bytes_.is_here(bytes_.at, "MTrk")) bytes_.at = bytes_.stop;
  }
}

// Reads a track. True if it ends at End of Track; false if it ends at the end of its chunk.
bool MidiTrackReader::read_events(bool too_long, bool real_time_is_stray) {
  song_.tracks.emplace_back();
  next_.clear();
  tick_ = song_.format == 2 ? song_.end : 0;
  status_ = 0;
  bool ended = false;
  while (!ended && (bytes_.at < bytes_.stop || too_long)) {
    tick_ += bytes_.variable_number();
    ended = read_event(real_time_is_stray);
  }
  close_open_notes();
  return ended;
}

bool MidiTrackReader::read_event(bool real_time_is_stray) {
  std::uint8_t first = bytes_.byte();
  while (is_real_time(first)) {
    skip_real_time(first);
    if (!real_time_is_stray) return false;
    first = bytes_.byte();
  }
  if (first == 0xff) return read_meta();
  if (first == 0xf0 || first == 0xf7) {
    const auto data = bytes_.payload();
    if (first == 0xf7 && !data.empty() && data[0] >= 0x80 && data[0] < 0xf0) {
      bytes_.warn("the escaped message 0x{:02x} is ignored", data[0]);
    }
    return false;
  }
  if (first > 0xf0) {
    skip_system_common(first);
    return false;
  }
  if (first >= 0x80) {
    status_ = first;
  } else {
    --bytes_.at;
    if (status_ == 0) {
      bytes_.fail(bytes_.at, fmt::format("data byte 0x{:02x}", first),
                  "a status byte before any data");
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

// Time code, song position, song select and tune request have known lengths; 0xf4 and 0xf5 are
// undefined.
void MidiTrackReader::skip_system_common(std::uint8_t status) {
  if (status == 0xf4 || status == 0xf5) {
    bytes_.fail(bytes_.at - 1, fmt::format("status byte 0x{:02x}", status),
                "one that a MIDI file may hold");
  }
  const int data_bytes = status == 0xf2 ? 2 : status == 0xf6 ? 0 : 1;
  for (int i = 0; i < data_bytes; ++i) data_byte();
  bytes_.warn("the system message 0x{:02x} is ignored", status);
}

// True at End of Track. The notes do not depend on the other meta events: oddities in them are
// ignored.
bool MidiTrackReader::read_meta() {
  const std::uint8_t kind = bytes_.byte();
  const auto data = bytes_.payload();
  if (kind == 0x2f) {
    if (!data.empty()) bytes_.warn("the End of Track has {} bytes, expected none", data.size());
    return true;
  }
  if (kind == 0x03 && song_.tracks.back().name.empty()) {
    song_.tracks.back().name = printable(data);
  } else if (kind == 0x06) {
    song_.markers.push_back({tick_, printable(data)});
  } else if (kind == 0x51) {
    read_tempo(data);
  } else if (kind == 0x58) {
    read_meter(data);
  } else if (kind == 0x59) {
    read_key(data);
  }
  return false;
}

// False, with a warning, if the event has too few bytes.
bool MidiTrackReader::has_size(std::span<const std::uint8_t> data, std::size_t size,
                               std::string_view what) {
  if (data.size() >= size) return true;
  bytes_.warn("{} of {} bytes, expected {}, is ignored", what, data.size(), size);
  return false;
}

void MidiTrackReader::read_tempo(std::span<const std::uint8_t> data) {
  if (!has_size(data, 3, "a tempo")) return;
  const int microseconds = data[0] << 16 | data[1] << 8 | data[2];
  if (microseconds == 0) return bytes_.warn("a tempo of 0 microseconds per quarter is ignored");
  song_.tempos.push_back({tick_, microseconds});
}

void MidiTrackReader::read_meter(std::span<const std::uint8_t> data) {
  if (!has_size(data, 2, "a time signature")) return;
  if (data[0] == 0 || data[1] > 6) {
    return bytes_.warn(
        "the time signature {} over 2^{}, expected 1 or more beats of 2^0 to "
        "2^6, is ignored",
        data[0], data[1]);
  }
  song_.meters.push_back({tick_, data[0], 1 << data[1]});
}

void MidiTrackReader::read_key(std::span<const std::uint8_t> data) {
  if (!has_size(data, 2, "a key signature")) return;
  const int fifths = static_cast<std::int8_t>(data[0]);
  if (fifths < -7 || fifths > 7 || data[1] > 1) {
    return bytes_.warn("an impossible key signature is ignored");
  }
  if (song_.key.tonic != kNoRoot) return;
  const bool minor = data[1] == 1;
  song_.key = {(fifths * 7 + 84 + (minor ? 9 : 0)) % 12, minor};
}

void MidiTrackReader::begin_note(std::uint8_t pitch, std::uint8_t velocity) {
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

void MidiTrackReader::end_note(std::uint8_t pitch) {
  const std::size_t key = std::size_t{status_ & 0x0fu} * 128 + pitch;
  if (oldest_[key] < 0) return;
  const auto index = static_cast<std::size_t>(oldest_[key]);
  MidiNote& note = song_.tracks.back().notes[index];
  note.length = tick_ - note.start;
  oldest_[key] = next_[index];
}

void MidiTrackReader::close_open_notes() {
  bool open = false;
  for (MidiNote& note : song_.tracks.back().notes) {
    if (note.length >= 0) continue;
    note.length = tick_ - note.start;
    oldest_[key_of(note)] = -1;
    open = true;
  }
  if (open) bytes_.warn("some notes have no note-off; they last to the end of their track");
}

void MidiTrackReader::skip_real_time(std::uint8_t value) {
  real_time_ = true;
  bytes_.warn("the real-time message 0x{:02x} is ignored", value);
}

std::uint8_t MidiTrackReader::data_byte() {
  std::uint8_t value = bytes_.byte();
  while (is_real_time(value)) {
    skip_real_time(value);
    value = bytes_.byte();
  }
  if (value >= 0x80) {
    bytes_.fail(bytes_.at - 1, fmt::format("byte 0x{:02x} inside an event", value),
                "a data byte below 0x80");
  }
  return value;
}

}  // namespace jazz
