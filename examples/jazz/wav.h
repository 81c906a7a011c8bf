// SPDX-License-Identifier: MIT
// A MIDI file as sound, by fluidsynth and a sound font where both are installed.
// It synthesises nothing itself.
#pragma once

#include <string>

namespace jazz {

struct WavResult {
  bool written = false;
  std::string why_not;  // for people; empty if written
};

// Renders the file at `midi` into `wav`. Sound fonts are looked for in the usual folders, and in
// the file that the environment variable SOUNDFONT names. Never throws: sound is an extra.
WavResult write_wav(const std::string& midi, const std::string& wav);

}  // namespace jazz
