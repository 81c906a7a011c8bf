// SPDX-License-Identifier: MIT
// The settings of a training: their options, and their notes in checkpoints.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "examples/common/settings.h"
#include "examples/jazz/model.h"

namespace jazz {

inline constexpr const char* kProgram = "jazz, format 1";  // in the notes of its checkpoints

struct TrainOptions {
  std::int64_t updates = 1200;        // the learning rate decays over these
  std::int64_t streams = 32;          // tunes in parallel
  std::int64_t steps = 32;            // events per update; gradients go back no farther
  std::int64_t evaluate_every = 100;  // updates
  double learning_rate = 4e-3;
  double weight_decay = 0.01;
  double clip = 1;  // of the gradient's norm
  std::uint64_t seed = 0;
};

// The settings as options and as notes of checkpoints. A model is read by the first table alone,
// whatever its training was.
common::SettingsTable table_of(ModelOptions& model);
common::SettingsTable table_of(TrainOptions& options);

// The notes that decide whether a checkpoint can be resumed: every setting, and the fingerprint of
// the material.
std::map<std::string, std::string> notes_of(const ModelOptions& model, const TrainOptions& options,
                                            const std::string& music);

}  // namespace jazz
