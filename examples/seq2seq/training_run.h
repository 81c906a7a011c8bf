// SPDX-License-Identifier: MIT
// A training run of a translator: progress, validations, checkpoints in a folder, early stopping,
// resuming. material.h makes the data, training.h makes the updates.
#pragma once

#include <memory>
#include <string>

#include "examples/seq2seq/material.h"

namespace seq2seq {

struct Trained {
  std::unique_ptr<Trainer> trainer;  // with the best weights
  std::int64_t parameters = 0;
  std::int64_t updates = 0;  // of all runs
  double train_loss = 0;     // mean of the last updates
  double seconds = 0;        // of the updates of this run
  double cpu_seconds = 0;
  double symbols_per_second = 0;
  double updates_per_second = 0;
  bool stopped_early = false;
  const Translator& translator() const { return trainer->translator(); }
};

// Trains and writes last.safetensors and best.safetensors in `folder`. With --resume it continues
// from last.safetensors.
Trained train(const Arguments& arguments, const Settings& settings, const Material& material,
              const std::string& folder);

// The translator of a checkpoint. `task` must be the checkpoint's task, or be empty.
struct Loaded {
  Settings settings;
  Translator translator;
};
Loaded load_translator(const tapeloop::nn::Checkpoint& saved, const std::string& task,
                       const std::string& path, tapeloop::Device device = tapeloop::Device::cpu);

}  // namespace seq2seq
