// SPDX-License-Identifier: MIT
// A training run of a translator, with its output. material.h makes the data, training.h makes the
// updates, common/run.h the loop.
#pragma once

#include <memory>
#include <string>

#include "examples/seq2seq/material.h"
#include "examples/seq2seq/training.h"

namespace seq2seq {

struct Trained {
  std::unique_ptr<Trainer> trainer;  // with the best weights
  std::int64_t parameters = 0;
  std::int64_t updates = 0;  // of all runs
  double train_loss = 0;     // mean of the last updates
  common::Run::Result run;   // of this run alone
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
