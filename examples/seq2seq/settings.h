// SPDX-License-Identifier: MIT
// The settings of a training: their options, and their notes in checkpoints, with the task and the
// vocabularies.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "examples/common/notes.h"
#include "examples/common/settings.h"
#include "examples/seq2seq/translator.h"

namespace seq2seq {

inline constexpr const char* kProgram = "seq2seq";  // in the notes of its checkpoints

struct Settings {
  std::string task = "dates";
  ModelOptions model;
  std::int64_t batch = 32;
  std::int64_t updates = 3000;  // of the whole training, over all its runs
  double learning_rate = 0.003;
  // Over this last share of the updates the learning rate falls to 0 along a cosine.
  double decay = 0.3;
  double clip = 1;  // largest global norm of the gradient; 0: no clipping
  // Training ends after this many validations without improvement; 0: no early stop.
  std::int64_t patience = 5;
  std::int64_t most_symbols = 60;  // training and translation leave out longer sentences
  std::uint64_t seed = 0;
};

// The settings as options and as notes of checkpoints.
common::SettingsTable table_of(Settings& settings);
// A row that is not in the table: its option, --max-length, stands among those of the data.
common::Setting longest_of(Settings& settings);

// The notes that decide whether a checkpoint fits: the settings, both vocabularies, and a
// fingerprint of the training data.
std::map<std::string, std::string> notes_of(const Settings& settings, const Languages& languages,
                                            const std::string& fingerprint);
// Read the settings and the vocabularies from a checkpoint. Throw FileError if the notes are not
// those of a translator.
Settings settings_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);
Languages languages_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);

// Throws FileError if another program wrote the checkpoint, or if it is of another task than
// `task`; an empty `task` accepts all. Returns the checkpoint's task.
const std::string& check_task(const tapeloop::nn::Checkpoint& saved, const std::string& task,
                              const std::string& path);

}  // namespace seq2seq
