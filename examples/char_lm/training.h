// SPDX-License-Identifier: MIT
// Training a character model by truncated BPTT, its validation, and bit-exact resuming. It prints
// nothing and opens no file; checkpoints are values of nn::Checkpoint.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "examples/char_lm/corpus.h"
#include "examples/char_lm/model.h"
#include "examples/common/training.h"
#include "tapeloop/optim/adam.h"

namespace char_lm {

struct Settings {
  ModelOptions model;
  std::int64_t streams = 32;
  std::int64_t steps = 50;
  double learning_rate = 0.002;
  double clip = 0;  // largest global norm of the gradient; 0: no clipping
  std::uint64_t seed = 0;
  bool lines = false;
};

inline constexpr const char* kProgram = "char_lm";  // in the notes of its checkpoints

// The notes that decide whether a checkpoint fits: settings, vocabulary and a fingerprint of the
// text.
std::map<std::string, std::string> notes_of(const Settings& settings, const Vocabulary& vocabulary,
                                            const std::string& fingerprint);
// Reads the settings from the notes of a checkpoint. Throws Error if they are not notes of such a
// model.
Settings settings_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);
Vocabulary vocabulary_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);
// Length and FNV-1a hash of a text.
std::string fingerprint(std::string_view text);

// Mean nats per symbol of a text read as one stream from a zero state; every symbol but the first
// is predicted.
double validate(const CharLm& model, const Vocabulary& vocabulary, std::string_view text);

class Trainer {
 public:
  Trainer(const Corpus& corpus, const Vocabulary& vocabulary, const Settings& settings);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Makes one update of the weights with T symbols of each stream. Returns the loss before it, in
  // nats. If the loss or its gradient is not finite, throws an Error with the operation, layer,
  // time step and gate where that began. Then the weights stay unchanged.
  double update();
  std::int64_t updates() const { return updates_; }
  const CharLm& model() const { return model_; }

  // The whole state of the training, and back. restore() does not compare settings: see
  // common::check_resumed_settings.
  tapeloop::nn::Checkpoint checkpoint(const std::map<std::string, std::string>& notes) const;
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path);

  common::History history;

 private:
  Trainer(const Corpus& corpus, const Vocabulary& vocabulary, const Settings& settings,
          tapeloop::Random random);
  // Runs the update's loss again, and says where the first NaN or infinity is; "" if everything is
  // finite.
  std::string explain(const Batch& batch) const;

  Settings settings_;
  CharLm model_;
  Streams streams_;
  tapeloop::optim::Adam adam_;
  Carried carried_;
  Carried before_;  // the state before the current update
  tapeloop::nn::NotedRandoms noted_;
  std::int64_t updates_ = 0;
};

}  // namespace char_lm
