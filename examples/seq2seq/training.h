// SPDX-License-Identifier: MIT
// Training a translator: updates, validation, early stopping, and bit-exact resuming. It prints
// nothing and opens no file; checkpoints are values of nn::Checkpoint.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "examples/common/run.h"
#include "examples/seq2seq/settings.h"

namespace seq2seq {

// Count and hash of the pairs.
std::string fingerprint(std::span<const Pair> pairs);

class Trainer : public common::Training {
 public:
  Trainer(std::vector<Example> examples, Languages languages, const Settings& settings);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Makes one update with the next batch. Returns the loss before it, in nats per symbol. Throws
  // Error if it is not finite: see common::Learner.
  double update() override;
  // The rate of the next update.
  double learning_rate() const;
  std::int64_t updates() const override { return learner_.updates(); }
  // Target symbols of this run's updates.
  double units() const override { return static_cast<double>(symbols_); }
  // A run that was stopped after its last update, before any validation, still has to validate.
  bool finished() const override;

  std::vector<Example> validation;
  std::string validate() override;
  // Notes a validation's nats per symbol. If it is the best so far, keeps its weights and returns
  // true.
  bool note_validation(double nats) { return learner_.note_validation(nats); }
  const Translator& translator() const { return translator_; }
  // Gives the translator the weights of the best validation, if there was one.
  void use_best() { learner_.use_best(); }
  const common::History& history() const override { return learner_.history; }

  std::map<std::string, std::string> notes;  // of its checkpoints: see notes_of()
  tapeloop::nn::Checkpoint checkpoint() const override;
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path) override;
  void check(const tapeloop::nn::Checkpoint& saved, const std::string& path) const override;

 private:
  Trainer(std::vector<Example> examples, Languages languages, const Settings& settings,
          tapeloop::Random random);

  Settings settings_;
  Translator translator_;
  std::vector<Example> examples_;
  Batches batches_;
  common::Learner learner_;
  std::int64_t symbols_ = 0;
};

}  // namespace seq2seq
