// SPDX-License-Identifier: MIT
// Training: truncated backpropagation through time over streams of transposed tunes, with Adam. It
// writes no files and prints nothing. A saved Trainer resumes bit for bit.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "examples/common/run.h"
#include "examples/jazz/material.h"
#include "examples/jazz/model.h"
#include "examples/jazz/settings.h"

namespace jazz {

// Measures a model on the tunes in their own keys. Rests cost nats, but do not count as notes.
NatsPerNote nats_per_note(const Model& model, const std::vector<Tune>& tunes);

// "1.2345 = 0.4 + 0.5 + 0.3": total = delta + pitch + duration.
std::string show(const NatsPerNote& nats);

class Trainer : public common::Training {
 public:
  // Keeps a reference to the material.
  Trainer(const ModelOptions& model, const TrainOptions& options, const Material& material);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Makes one update. Returns its loss in nats per note of the batch, with dropout. Evaluates if an
  // evaluation is due. Throws Error if the loss is not finite: see common::Learner.
  double update() override;
  std::int64_t updates() const override { return learner_.updates(); }
  double units() const override { return static_cast<double>(notes_seen_); }
  bool finished() const override { return updates() >= options_.updates; }
  std::string validate() override;  // update() has evaluated already
  std::int64_t notes_seen() const { return notes_seen_; }

  // The figures of the best evaluation on held-out tunes.
  const std::optional<NatsPerNote>& best() const { return best_; }
  const common::History& history() const override { return learner_.history; }

  // The present model; use_best() gives it the weights of the best evaluation.
  const Model& model() const { return model_; }
  void use_best() { learner_.use_best(); }

  tapeloop::nn::Checkpoint checkpoint() const override;
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path) override;
  void check(const tapeloop::nn::Checkpoint& saved, const std::string& path) const override;

 private:
  struct Stream {
    std::int64_t tune = 0;
    std::int64_t semitones = 0;
    std::int64_t next = 0;  // index of the next event
    Sequence sequence;
    Line line{Context{}};
  };

  void begin(Stream& stream);
  void place(Stream& stream, std::int64_t tune, std::int64_t semitones, std::int64_t next) const;
  Batch next_batch();
  void evaluate();

  TrainOptions options_;
  const Material& material_;
  tapeloop::Random random_;
  Model model_;
  common::Learner learner_;
  std::vector<Stream> streams_;
  Memory memory_;
  double recent_ = 0;  // mean of the last losses, fading
  std::optional<NatsPerNote> latest_;
  std::optional<NatsPerNote> best_;
  std::int64_t notes_seen_ = 0;
};

// The model of a checkpoint with its best weights, whatever its training options and device were.
// Throws tapeloop::Error if the checkpoint is not of this program, or is of other material.
Model best_model(const tapeloop::nn::Checkpoint& saved, const Material& material,
                 const std::string& path, tapeloop::Device device = tapeloop::Device::cpu);

}  // namespace jazz
