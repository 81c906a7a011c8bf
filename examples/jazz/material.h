// SPDX-License-Identifier: MIT
// The training data: the embedded corpus or a folder of MIDI files, with a held-out part. It trains
// no network; it can count an n-gram, the baseline on the same notes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "examples/jazz/features.h"
#include "examples/jazz/ngram.h"

namespace jazz {

struct Material {
  std::string name;           // "the embedded corpus", or the folder
  std::string held_out_rule;  // "every 8th tune"
  std::vector<Tune> training;
  std::vector<Tune> held_out;         // neither the network nor the n-gram learns from these
  std::vector<std::string> left_out;  // files that could not be read, with the reasons
  // Oddities of files that were read: at most 10 files, then the number of the others.
  std::vector<std::string> warnings;

  // Over all tunes: whether any has chords, whether all have a single voice, and the range.
  bool has_chords = false;
  bool one_voice = true;
  int lowest = kHighestKey;
  int highest = kLowestKey;

  std::vector<Tune> all() const;
  std::size_t notes() const;
  // The same for the same notes and chords on every machine; different for others.
  std::string fingerprint() const;
};

// The corpus inside the program.
Material embedded_corpus();

// Reads and quantises all MIDI files under a folder. Holds out every 5th file; of fewer files the
// last one; of a single file its last fifth. Leaves out the files in the folder `except`. Throws
// std::runtime_error if the folder is absent, has no MIDI file, or has no file with notes that can
// be read; the message lists the problems.
Material read_material(const std::filesystem::path& folder,
                       const std::filesystem::path& except = {});

// The copy of a tune that is `semitones` higher, 0 to 11, and in a fitting octave.
Sequence transposed(const Tune& tune, int semitones);

struct Baseline {
  NatsPerNote held_out;
  int keys = 12;  // transposed copies of each tune; fewer for huge material
};

// Trains the order-3 n-gram on the training tunes in all keys, and measures it on the held-out
// tunes.
Baseline ngram_baseline(const Material& material);

}  // namespace jazz
