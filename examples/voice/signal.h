// SPDX-License-Identifier: MIT
// Sound with known labels: synthetic syllables between noise, and WAV files with label files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tapeloop/autograd/number/random.h"

namespace voice {

struct Labelled {
  std::vector<float> samples;
  std::vector<float> labels;  // of each chunk of kChunk samples: the probability of voice
};

// Groups of syllables, harmonic tones with a gliding pitch and two formants, between pauses. White
// or pink noise goes on all the time, and its bursts in the pauses are as loud as syllables. A
// chunk is voice if more than half of it lies in a group.
Labelled draw_signal(std::int64_t chunks, tapeloop::Random& random);

// Lines "chunk TAB probability", chunks from 0 in order; lines from # on are comments. Throws
// FileError with the line that is wrong.
std::vector<float> read_chunks(const std::string& path);

struct Recordings {
  std::vector<Labelled> list;
  std::vector<std::string> remarks;  // files that were skipped or mended, and why
};
// A WAV file, or all WAV files of a folder by name, each with its label file NAME.tsv beside it. A
// WAV file without labels is skipped with a remark. Throws FileError if none is left, and if a
// label file has not one line for each chunk.
Recordings read_recordings(const std::string& file_or_folder);

// Takes recordings out of the list to validate: every fifth one, or the last if there are fewer; of
// a single recording its last fifth. So no chunk is in both. Throws FileError if a single
// recording has less than 5 chunks.
std::vector<Labelled> hold_out(std::vector<Labelled>& list);

}  // namespace voice
