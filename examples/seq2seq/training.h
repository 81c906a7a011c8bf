// SPDX-License-Identifier: MIT
// Training a translator: updates, validation, early stopping, and bit-exact resuming. It prints
// nothing and opens no file; checkpoints are values of nn::Checkpoint.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "examples/common/training.h"
#include "examples/seq2seq/translator.h"
#include "tapeloop/nn/look/inspect.h"
#include "tapeloop/optim/adam.h"

namespace seq2seq {

struct Settings {
  std::string task = "dates";
  ModelOptions model;
  std::int64_t batch = 32;
  std::int64_t updates = 3000;  // of the whole training, over all its runs
  double learning_rate = 0.003;
  // Over this last share of the updates the learning rate falls to 0 along a cosine.
  double decay = 0.3;
  double clip = 1;                 // largest global norm of the gradient; 0: no clipping
  std::int64_t most_symbols = 60;  // training and translation leave out longer sentences
  std::uint64_t seed = 0;
};

// The notes that decide whether a checkpoint fits: the settings, both vocabularies, and a
// fingerprint of the training data.
std::map<std::string, std::string> notes_of(const Settings& settings, const Languages& languages,
                                            const std::string& fingerprint);
// Read the settings and the vocabularies from a checkpoint. Throw FileError if the notes are not
// those of a translator.
Settings settings_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);
Languages languages_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);
// Count and hash of the pairs.
std::string fingerprint(std::span<const Pair> pairs);

class Trainer {
 public:
  Trainer(std::vector<Example> examples, Languages languages, const Settings& settings);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Makes one update with the next batch. Returns the loss before it, in nats per symbol. Throws
  // Error if it is not finite; then the weights stay unchanged.
  double update();
  // The rate of the next update.
  double learning_rate() const;
  // Notes a validation's nats per symbol. If it is the best so far, keeps its weights and returns
  // true.
  bool note_validation(double nats);

  std::int64_t updates() const { return updates_; }
  std::int64_t symbols() const { return symbols_; }  // target symbols of this run's updates
  const Translator& translator() const { return translator_; }
  // Gives the translator the weights of the best validation, if there was one.
  void use_best();
  const common::History& history() const { return history_; }

  // The whole state of the training, and back. restore() does not compare settings: see
  // common::check_resumed_settings.
  tapeloop::nn::Checkpoint checkpoint(const std::map<std::string, std::string>& notes) const;
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path);

 private:
  Trainer(std::vector<Example> examples, Languages languages, const Settings& settings,
          tapeloop::Random random);

  tapeloop::Var loss_of(const Batch& batch) const;
  // Says where the first NaN or infinity of the update with this batch is.
  std::string explain(const Batch& batch) const;

  Settings settings_;
  Translator translator_;
  tapeloop::nn::NotedRandoms noted_;  // their state before the update
  std::vector<Example> examples_;
  Batches batches_;
  tapeloop::optim::Adam adam_;
  common::History history_;
  std::int64_t updates_ = 0;
  std::int64_t symbols_ = 0;
};

}  // namespace seq2seq
