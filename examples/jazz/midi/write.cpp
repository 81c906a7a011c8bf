// SPDX-License-Identifier: MIT
// Writer of Standard MIDI Files: a tune with swing and its rhythm section. It writes no running
// status: the files are small, and simple readers can read them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "examples/common/text.h"
#include "examples/jazz/midi/midi.h"
#include "examples/jazz/midi/rhythm_section.h"
#include "tapeloop/autograd/files/files.h"

namespace jazz {
namespace {

constexpr int kDivision = 480;
// Gap before the next note, as when a player tongues each note.
constexpr int kArticulation = kDivision / 48;
constexpr int kSax = 66;
constexpr int kPiano = 0;
constexpr int kUprightBass = 32;
constexpr int kDrumChannel = 9;

using Bytes = std::vector<std::uint8_t>;

void put_number(Bytes& out, std::uint32_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

void put_variable_number(Bytes& out, std::uint32_t value) {
  for (int shift = 21; shift > 0; shift -= 7) {
    if (value >> shift != 0) out.push_back(static_cast<std::uint8_t>(0x80u | value >> shift));
  }
  out.push_back(value & 0x7fu);
}

// Events of one track in any order; they are sorted when the chunk is written.
class TrackWriter {
 public:
  // Order of events that share a tick: settings, ends of notes, beginnings of notes.
  enum Rank { kSetting, kEnd, kBegin };

  void meta(int tick, std::uint8_t kind, std::string_view data) {
    Bytes bytes = {0xff, kind};
    put_variable_number(bytes, static_cast<std::uint32_t>(data.size()));
    bytes.insert(bytes.end(), data.begin(), data.end());
    events_.push_back({tick, kSetting, std::move(bytes)});
  }

  void program(int channel, int number) {
    events_.push_back({0, kSetting, {status(0xc0, channel), static_cast<std::uint8_t>(number)}});
  }

  void note(int channel, int begin, int end, int pitch, int velocity) {
    const auto key = static_cast<std::uint8_t>(pitch);
    events_.push_back(
        {begin, kBegin, {status(0x90, channel), key, static_cast<std::uint8_t>(velocity)}});
    events_.push_back({end, kEnd, {status(0x80, channel), key, 64}});
  }

  void append_chunk(Bytes& out, int end) {
    meta(end, 0x2f, "");
    events_.back().rank = kBegin;
    std::stable_sort(events_.begin(), events_.end(), [](const Event& a, const Event& b) {
      return a.tick != b.tick ? a.tick < b.tick : a.rank < b.rank;
    });
    Bytes body;
    int at = 0;
    for (const Event& event : events_) {
      put_variable_number(body, static_cast<std::uint32_t>(event.tick - at));
      body.insert(body.end(), event.bytes.begin(), event.bytes.end());
      at = event.tick;
    }
    out.insert(out.end(), {'M', 'T', 'r', 'k'});
    put_number(out, static_cast<std::uint32_t>(body.size()), 4);
    out.insert(out.end(), body.begin(), body.end());
  }

 private:
  struct Event {
    int tick;
    Rank rank;
    Bytes bytes;
  };

  static std::uint8_t status(int kind, int channel) {
    return static_cast<std::uint8_t>(kind | channel);
  }

  std::vector<Event> events_;
};

// Moves ticks of the score to ticks of the file. The first half of a beat is stretched and the
// second squeezed, but only at eighths and sixteenths: a triplet is swung already.
class Swing {
 public:
  Swing(double ratio, const std::vector<Note>& notes) : middle_(ratio / (1 + ratio)) {
    for (const Note& note : notes) {
      off_grid_.push_back(note.start);
      off_grid_.push_back(note.start + note.length);
    }
    std::erase_if(off_grid_, [](int tick) { return tick % (kTicksPerQuarter / 4) == 0; });
    std::sort(off_grid_.begin(), off_grid_.end());
  }

  int operator()(int tick) const {
    const int place = tick % kTicksPerQuarter;
    double quarter = static_cast<double>(place) / kTicksPerQuarter;
    if (place % (kTicksPerQuarter / 4) == 0 && !begins_triplet(tick)) {
      quarter = quarter <= 0.5 ? 2 * middle_ * quarter : 1 - 2 * (1 - middle_) * (1 - quarter);
    }
    return tick / kTicksPerQuarter * kDivision + static_cast<int>(std::lround(quarter * kDivision));
  }

 private:
  // A triplet from one off-beat to the next is even, so its first note must not be late.
  bool begins_triplet(int tick) const {
    constexpr int kThird = kTicksPerQuarter / 3;
    return tick % kTicksPerQuarter == kTicksPerQuarter / 2 &&
           (std::binary_search(off_grid_.begin(), off_grid_.end(), tick + kThird) ||
            std::binary_search(off_grid_.begin(), off_grid_.end(), tick + 2 * kThird));
  }

  double middle_;  // where the second eighth begins, as a fraction of the beat
  std::vector<int> off_grid_;
};

void check_tune(const Tune& tune) {
  auto fail = [&](std::string_view what) {
    throw std::invalid_argument(
        fmt::format("midi_bytes \"{}\": {}", common::printable(tune.title), what));
  };
  if (!(tune.tempo >= kSlowestTempo && tune.tempo <= kFastestTempo)) {
    fail(fmt::format("tempo is {}, expected {} to {} quarter notes per minute", tune.tempo,
                     kSlowestTempo, kFastestTempo));
  }
  const bool power_of_two = tune.beat_unit > 0 && (tune.beat_unit & (tune.beat_unit - 1)) == 0;
  if (tune.beats_per_bar < 1 || tune.beats_per_bar > 255 || !power_of_two || tune.beat_unit > 64) {
    fail(fmt::format("meter is {}/{}, expected 1 to 255 beats of a power of two up to 64",
                     tune.beats_per_bar, tune.beat_unit));
  }
  for (const Note& note : tune.notes) {
    const bool fits =
        note.start >= 0 && note.length > 0 && note.start <= (1 << 24) && note.length <= (1 << 24);
    if (!fits || note.pitch < 0 || note.pitch > 127 || note.velocity < 1 || note.velocity > 127) {
      fail(
          fmt::format("note at tick {} has length {}, pitch {}, velocity {}; expected a start from "
                      "0, a length from 1, a pitch of 0 to 127, a velocity of 1 to 127",
                      note.start, note.length, note.pitch, note.velocity));
    }
  }
  for (const ChordSpan& span : tune.chords) {
    if (span.start < 0 || span.length < 0 || span.start > (1 << 24) || span.length > (1 << 24)) {
      fail(fmt::format("the chord at tick {} has {} ticks; expected both from 0 to 2^24",
                       span.start, span.length));
    }
  }
}

// Fifths up from C of a key's signature, -6 to 5.
int key_fifths(const Key& key) {
  const int major = (key.tonic + (key.minor ? 3 : 0)) % 12;
  const int fifths = major * 7 % 12;
  return fifths > 5 ? fifths - 12 : fifths;
}

std::string meta_bytes(std::initializer_list<int> values) {
  std::string text;
  for (int value : values) text.push_back(static_cast<char>(value));
  return text;
}

// Ticks within long rests of a tune, at most kLongestGap apart: read_midi() cuts longer pauses,
// because it takes them for damage.
std::vector<int> within_long_rests(const Tune& tune) {
  constexpr int kStep = kLongestGap / 2 * kTicksPerQuarter;
  std::vector<int> times = {0, length_of(tune)};
  for (const Note& note : tune.notes) {
    times.insert(times.end(), {note.start, note.start + note.length});
  }
  for (const ChordSpan& span : tune.chords) times.push_back(span.start);
  std::sort(times.begin(), times.end());
  std::vector<int> result;
  for (std::size_t i = 1; i < times.size(); ++i) {
    for (int at = times[i - 1] + kStep; at < times[i]; at += kStep) result.push_back(at);
  }
  return result;
}

TrackWriter conductor(const Tune& tune, const Swing& swung) {
  TrackWriter track;
  track.meta(0, 0x03, tune.title);
  int exponent = 0;
  while ((1 << exponent) < tune.beat_unit) ++exponent;
  track.meta(0, 0x58, meta_bytes({tune.beats_per_bar, exponent, 24, 8}));
  if (tune.key.tonic != kNoRoot) {
    track.meta(0, 0x59, meta_bytes({key_fifths(tune.key) & 0xff, tune.key.minor ? 1 : 0}));
  }
  const auto set_tempo = [&, tempo = static_cast<int>(std::lround(60e6 / tune.tempo))](int tick) {
    track.meta(tick, 0x51, meta_bytes({tempo >> 16, tempo >> 8 & 0xff, tempo & 0xff}));
  };
  set_tempo(0);
  for (const int tick : within_long_rests(tune)) set_tempo(swung(tick));
  for (const ChordSpan& span : tune.chords) {
    track.meta(swung(span.start), 0x06, print_chord(span.chord));
  }
  // The last chord lasts until this marker.
  if (!tune.chords.empty()) track.meta(swung(length_of(tune)), 0x06, "NC");
  return track;
}

struct Player {
  std::string_view name;
  int channel;
  int program;
};

}  // namespace

double swing_ratio(double tempo) { return std::clamp(2.0 - (tempo - 120) / 200, 1.2, 2.0); }

std::vector<std::uint8_t> midi_bytes(const Tune& tune, const MidiPerformance& performance) {
  check_tune(tune);
  const double ratio = performance.swing ? swing_ratio(tune.tempo) : 1.0;
  const Swing chord_swing(ratio, {});
  const int end = chord_swing(length_of(tune)) + kDivision;
  std::mt19937 dice(performance.seed);
  auto add_player = [&](Bytes& out, const Player& player, const std::vector<Note>& notes) {
    TrackWriter track;
    track.meta(0, 0x03, player.name);
    if (player.channel != kDrumChannel) track.program(player.channel, player.program);
    const Swing swung(ratio, notes);
    for (const Note& note : notes) {
      const int on_beat = note.start % kTicksPerQuarter == 0 ? 4 : 0;
      const int human = static_cast<int>(dice() % 13) - 8 + on_beat;
      const int begin = swung(note.start);
      const int stop = swung(note.start + note.length);
      track.note(player.channel, begin, std::max(begin + 1, stop - kArticulation), note.pitch,
                 std::clamp(note.velocity + human, 1, 127));
    }
    track.append_chunk(out, end);
  };

  const bool band = performance.rhythm_section && !tune.chords.empty();
  Bytes out = {'M', 'T', 'h', 'd'};
  put_number(out, 6, 4);
  put_number(out, 1, 2);
  put_number(out, band ? 5 : 2, 2);
  put_number(out, kDivision, 2);
  conductor(tune, chord_swing).append_chunk(out, end);
  add_player(out, {"melody", 0, kSax}, tune.notes);
  if (band) {
    add_player(out, {"chords", 1, kPiano}, comping(tune, performance.seed));
    add_player(out, {"bass", 2, kUprightBass}, walking_bass(tune, performance.seed + 1));
    add_player(out, {"ride", kDrumChannel, 0}, ride_cymbal(tune, performance.seed + 2));
  }
  return out;
}

void write_midi(const Tune& tune, const std::filesystem::path& path,
                const MidiPerformance& performance) {
  const Bytes bytes = midi_bytes(tune, performance);
  tapeloop::write_file(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace jazz
