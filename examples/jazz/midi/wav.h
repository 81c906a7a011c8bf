// SPDX-License-Identifier: MIT
// A MIDI file as sound, by fluidsynth and a sound font if both are installed. It synthesises
// nothing itself.
#pragma once

#include <string>

namespace jazz {

struct WavResult {
  bool written = false;
  std::string why_not;  // for people; empty if written
};

// Renders the file at `midi` into `wav`. Searches sound fonts in the usual folders, and uses the
// file that the environment variable SOUNDFONT names. Never throws: sound is optional.
WavResult write_wav(const std::string& midi, const std::string& wav);

}  // namespace jazz
