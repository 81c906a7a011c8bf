// SPDX-License-Identifier: MIT
// Standard MIDI Files: read into plain notes, quantise to tunes, and write a tune with a rhythm
// section. It plays nothing, and keeps no controllers, pitch bends, lyrics or system exclusives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "examples/jazz/music/score.h"

namespace jazz {

// what() is "FILE, byte OFFSET: found ..., expected ...".
class MidiError : public std::runtime_error {
 public:
  MidiError(std::string_view file, std::size_t offset, std::string_view found,
            std::string_view expected);
  std::size_t offset() const { return offset_; }

 private:
  std::size_t offset_;
};

// All times below are ticks of the file.
struct MidiNote {
  std::int64_t start = 0;
  std::int64_t length = 0;
  std::uint8_t channel = 0;  // 0..15; drums are channel 9, which players call 10
  std::uint8_t pitch = 0;
  std::uint8_t velocity = 0;
};

struct MidiTrack {
  std::string name;
  std::vector<MidiNote> notes;  // in order of their starts
};

struct MidiTempo {
  std::int64_t tick = 0;
  int microseconds = 500000;  // per quarter note
};

struct MidiMeter {
  std::int64_t tick = 0;
  int beats = 4;
  int unit = 4;  // 4 = quarter, 8 = eighth ...
};

struct MidiMarker {
  std::int64_t tick = 0;
  std::string text;
};

inline constexpr int kLongestGap = 256;  // quarter notes, 64 bars of 4/4
inline constexpr std::size_t kMostMidiWarnings = 8;

struct MidiSong {
  std::string file;
  int format = 1;
  int division = 96;  // as in the file; negative frames per second in the SMPTE case
  // SMPTE files have no quarter note: the reader takes half a second (120 bpm).
  double ticks_per_quarter = 96;
  std::int64_t end = 0;             // end of the last track
  std::vector<MidiTempo> tempos;    // sorted; none means 120 bpm; empty for SMPTE files
  std::vector<MidiMeter> meters;    // sorted; none means 4/4
  std::vector<MidiMarker> markers;  // sorted
  Key key;
  std::vector<MidiTrack> tracks;
  // Deviations from the standard that the reader accepted, at most 8.
  std::vector<std::string> warnings;
};

// Reads format 0, 1 or 2 (patterns are laid end to end), also inside a RIFF "RMID" wrapper.
//
// The following is read with a warning, because the times and pitches of the notes are certain:
//   - tempos, time and key signatures that are impossible or too short: ignored
//   - real-time messages (0xf8 to 0xfe), also inside an event, system common messages, and messages
//     in an escape (0xf7): ignored
//   - a missing End of Track, bytes after it, a wrong track length if the file has an End of Track
//   - more tracks than the header declares, bytes behind the last track
//   - notes never ended: they last to the end of their track
//   - a pause of more than kLongestGap quarter notes (a damaged time), in which no track has a
//     note's start or end, a tempo, a time signature or a marker: cut by whole bars to kLongestGap
//     or less
// Running status is kept across meta and system events. If notes on one key overlap, a note-off
// ends the oldest.
//
// Throws MidiError for all other damage. For n bytes it takes O(n log n) time and O(n) memory,
// whatever times the file states.
MidiSong read_midi(std::span<const std::uint8_t> bytes, std::string_view file);

// Shortens each pause longer than kLongestGap quarter notes by whole bars to at most that. The
// first warning of the song names the first cut. read_midi() calls it.
void cut_gaps(MidiSong& song);

// read_midi() for a file of at most 64 MiB. Also throws tapeloop::FileError if the file cannot be
// read.
MidiSong read_midi_file(const std::filesystem::path& path);

struct DamagedFile {
  std::filesystem::path path;
  std::string reason;
};

struct MidiFolder {
  std::vector<MidiSong> songs;
  std::vector<DamagedFile> damaged;
  // The program's own output that was left out: one line for each folder.
  std::vector<std::string> own;
};

// Reads every *.mid and *.midi (any case) under a folder and its subfolders, in order of their
// paths. A file that cannot be read is listed and does not end the reading. This program's own
// output is left out and listed: files in the folder `except`, if given, and in its subfolders, and
// each jazz.mid in a subfolder of `folder` with a checkpoint.safetensors beside it. Throws
// std::runtime_error if the folder is absent, cannot be read, or holds no other such file.
MidiFolder read_folder(const std::filesystem::path& folder,
                       const std::filesystem::path& except = {});

// True if the name ends in .mid or .midi, in any case: such files are read.
bool is_midi_name(const std::filesystem::path& path);

// Notes of all channels but the drums on a grid of sixteenths, triplet eighths or triplet eighths
// from off-beat to off-beat, chosen beat by beat. One tune per stretch of constant time signature
// that has notes. Chords come from markers, if all are chord symbols and not all bare letters
// (those would be section marks), else none.
// Throws MidiError if the song is longer than 2^20 quarter notes.
std::vector<Tune> quantise(const MidiSong& song);

struct MidiPerformance {
  bool swing = true;           // off-beat eighths late, see swing_ratio
  bool rhythm_section = true;  // chord comping, walking bass, ride cymbal
  std::uint32_t seed = 1;      // of velocities and of the rhythm section's choices
};

// Long to short eighth: 2 up to 120 bpm, falling to 1.2 at 280 bpm and above, as players do.
double swing_ratio(double tempo);

// A format 1 file: tempo, time and key signature, chord symbols as markers, then the tracks
// melody, chords, bass and ride. Throws std::invalid_argument on a tempo that is not 4..1000, a
// meter or note that MIDI cannot express.
std::vector<std::uint8_t> midi_bytes(const Tune& tune, const MidiPerformance& performance = {});

// Writes the same into a file, by tapeloop::write_file.
void write_midi(const Tune& tune, const std::filesystem::path& path,
                const MidiPerformance& performance = {});

}  // namespace jazz
