// SPDX-License-Identifier: MIT
// Training a character model by truncated BPTT, its validation, and bit-exact resuming. It prints
// nothing and opens no file; checkpoints are values of nn::Checkpoint.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "examples/char_lm/corpus.h"
#include "examples/char_lm/model.h"
#include "examples/char_lm/settings.h"
#include "examples/common/run.h"

namespace char_lm {

// Length and FNV-1a hash of a text.
std::string fingerprint(std::string_view text);

// Mean nats per symbol of a text read as one stream from a zero state; every symbol but the first
// is predicted.
double validate(const CharLm& model, const Vocabulary& vocabulary, std::string_view text);

class Trainer : public common::Training {
 public:
  // The corpus and the vocabulary must outlive this object.
  Trainer(const Corpus& corpus, const Vocabulary& vocabulary, const Settings& settings);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Makes one update of the weights with T symbols of each stream. Returns the loss before it, in
  // nats. Throws Error if it is not finite: see common::Learner.
  double update() override;
  std::int64_t updates() const override { return learner_.updates(); }
  double units() const override;  // symbols
  // A run that was stopped after its last update, before any validation, still has to validate.
  bool finished() const override;
  std::string validate() override;
  // The nats of the last validation. If this run has none, validates now.
  double validation_nats() const;
  const CharLm& model() const { return model_; }
  const common::History& history() const override { return learner_.history; }
  void use_best() { learner_.use_best(); }

  std::map<std::string, std::string> notes;  // of its checkpoints: see notes_of()
  tapeloop::nn::Checkpoint checkpoint() const override;
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path) override;
  void check(const tapeloop::nn::Checkpoint& saved, const std::string& path) const override;

 private:
  Trainer(const Corpus& corpus, const Vocabulary& vocabulary, const Settings& settings,
          tapeloop::Random random);

  Settings settings_;
  const Corpus& corpus_;
  const Vocabulary& vocabulary_;
  CharLm model_;
  Streams streams_;
  common::Learner learner_;
  Carried carried_;
  std::optional<double> validated_;  // nats
};

}  // namespace char_lm
