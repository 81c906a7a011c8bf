// SPDX-License-Identifier: MIT
// Training: truncated backpropagation through time over streams of transposed tunes, with Adam.
// It writes no files and prints nothing; a Trainer can be saved whole and gone on with bit for bit.
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
  std::int64_t updates = 1200;        // the learning rate falls over these
  std::int64_t streams = 32;          // tunes read side by side
  std::int64_t steps = 32;            // events per update; gradients reach no farther back
  std::int64_t evaluate_every = 100;  // updates
  double learning_rate = 4e-3;
  double weight_decay = 0.01;
  double clip = 1;  // of the gradient's norm
  std::uint64_t seed = 0;
};

// How good a model is on tunes as they are written, in no other key. Rests cost, but are not notes.
NatsPerNote nats_per_note(const Model& model, const std::vector<Tune>& tunes);

class Trainer {
 public:
  // Keeps a reference to the material.
  Trainer(const ModelOptions& model, const TrainOptions& options, const Material& material);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // One update; its loss in nats per note of the batch, with dropout. Evaluates when it is time to.
  // Throws tapeloop::Error where the loss or its gradient is not finite, with the operation, layer,
  // time step and gate where that began; the weights then stay as they are.
  double update();

  std::int64_t updates() const { return adam_->steps(); }
  bool finished() const { return updates() >= options_.updates; }
  std::int64_t notes_seen() const { return notes_seen_; }

  // The held-out figures of the latest and the best evaluation.
  const std::optional<NatsPerNote>& latest() const { return latest_; }
  const std::optional<NatsPerNote>& best() const { return best_; }
  std::int64_t best_update() const { return best_update_; }

  // The model as it is now; use_best() gives it the weights of the best evaluation.
  const Model& model() const { return model_; }
  void use_best();

  // Everything above, to be saved. restore() throws tapeloop::Error, listing what differs, where a
  // checkpoint is of other settings or other material; `path` names it in the message.
  tapeloop::nn::Checkpoint checkpoint() const;
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path);

 private:
  struct Stream {
    std::int64_t tune = 0;
    std::int64_t semitones = 0;
    std::int64_t next = 0;  // event
    Sequence sequence;
    Line line{Context{}};
  };

  void begin(Stream& stream);
  void place(Stream& stream, std::int64_t tune, std::int64_t semitones, std::int64_t next) const;
  Batch next_batch();
  void evaluate();
  // Runs a batch's loss again and throws, with what was wrong and where it began.
  [[noreturn]] void explain(const Batch& batch, const std::string& what) const;

  TrainOptions options_;
  const Material& material_;
  tapeloop::Random random_;
  Model model_;
  std::unique_ptr<tapeloop::optim::Adam> adam_;
  std::vector<Stream> streams_;
  Memory memory_;
  Memory before_;  // the update at hand
  tapeloop::nn::NotedRandoms noted_;
  tapeloop::StateDict best_weights_;
  std::optional<NatsPerNote> latest_;
  std::optional<NatsPerNote> best_;
  std::int64_t best_update_ = 0;
  std::int64_t notes_seen_ = 0;
};

// What a checkpoint must agree in to be gone on with: every option, and the material.
std::map<std::string, std::string> settings_of(const ModelOptions& model,
                                               const TrainOptions& options,
                                               const Material& material);

// The model of a checkpoint with its best weights, whatever its training was and wherever. Throws
// tapeloop::Error where the checkpoint is none of this program, or learned from other material.
Model best_model(const tapeloop::nn::Checkpoint& saved, const Material& material,
                 const std::string& path, tapeloop::Device device = tapeloop::Device::cpu);

}  // namespace jazz
