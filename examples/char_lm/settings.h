// SPDX-License-Identifier: MIT
// The settings of a training: their options, and their notes in checkpoints.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "examples/char_lm/corpus.h"
#include "examples/char_lm/model.h"
#include "examples/common/settings.h"

namespace char_lm {

inline constexpr const char* kProgram = "char_lm";  // in the notes of its checkpoints

struct Settings {
  ModelOptions model;
  std::int64_t streams = 32;
  std::int64_t steps = 50;
  std::int64_t updates = 2000;  // of the whole training, over all its runs
  double learning_rate = 0.002;
  double clip = 0;  // largest global norm of the gradient; 0: no clipping
  std::uint64_t seed = 0;
  bool lines = false;
};

// The settings as options and as notes of checkpoints.
common::SettingsTable table_of(Settings& settings);

// The notes that decide whether a checkpoint fits: settings, vocabulary and a fingerprint of the
// text.
std::map<std::string, std::string> notes_of(const Settings& settings, const Vocabulary& vocabulary,
                                            const std::string& fingerprint);
// Reads the settings from the notes of a checkpoint. Throws Error if they are not notes of such a
// model.
Settings settings_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);
Vocabulary vocabulary_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);
}  // namespace char_lm
