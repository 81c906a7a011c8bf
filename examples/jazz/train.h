// SPDX-License-Identifier: MIT
// Training: truncated backpropagation through time over streams of transposed tunes, with Adam. It
// writes no files and prints nothing. A saved Trainer resumes bit for bit.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "examples/jazz/material.h"
#include "examples/jazz/model.h"
#include "tapeloop/optim/adam.h"

namespace jazz {

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

// Measures a model on the tunes in their own keys. Rests cost nats, but do not count as notes.
NatsPerNote nats_per_note(const Model& model, const std::vector<Tune>& tunes);

class Trainer {
 public:
  // Keeps a reference to the material.
  Trainer(const ModelOptions& model, const TrainOptions& options, const Material& material);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Makes one update. Returns its loss in nats per note of the batch, with dropout. Evaluates if an
  // evaluation is due. If the loss or its gradient is not finite, throws a tapeloop::Error with the
  // operation, layer, time step and gate where that began. Then the weights stay unchanged.
  double update();

  std::int64_t updates() const { return adam_->steps(); }
  bool finished() const { return updates() >= options_.updates; }
  std::int64_t notes_seen() const { return notes_seen_; }

  // The figures of the latest and the best evaluation on held-out tunes.
  const std::optional<NatsPerNote>& latest() const { return latest_; }
  const std::optional<NatsPerNote>& best() const { return best_; }
  std::int64_t best_update() const { return best_update_; }

  // The present model; use_best() gives it the weights of the best evaluation.
  const Model& model() const { return model_; }
  void use_best();

  // The whole state, and back. If the checkpoint has other settings or other material, restore()
  // throws a tapeloop::Error that lists the differences; `path` names it in the message.
  tapeloop::nn::Checkpoint checkpoint() const;
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path);

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
  // Runs a batch's loss again. Throws with `what` and the place where the first NaN or infinity is.
  [[noreturn]] void explain(const Batch& batch, const std::string& what) const;

  TrainOptions options_;
  const Material& material_;
  tapeloop::Random random_;
  Model model_;
  std::unique_ptr<tapeloop::optim::Adam> adam_;
  std::vector<Stream> streams_;
  Memory memory_;
  Memory before_;  // the memory before the current update
  tapeloop::nn::NotedRandoms noted_;
  tapeloop::StateDict best_weights_;
  std::optional<NatsPerNote> latest_;
  std::optional<NatsPerNote> best_;
  std::int64_t best_update_ = 0;
  std::int64_t notes_seen_ = 0;
};

// What must agree for a checkpoint to be resumed: every option, and the material.
std::map<std::string, std::string> settings_of(const ModelOptions& model,
                                               const TrainOptions& options,
                                               const Material& material);

// The model of a checkpoint with its best weights, whatever its training options and device were.
// Throws tapeloop::Error if the checkpoint is not of this program, or is of other material.
Model best_model(const tapeloop::nn::Checkpoint& saved, const Material& material,
                 const std::string& path, tapeloop::Device device = tapeloop::Device::cpu);

}  // namespace jazz
