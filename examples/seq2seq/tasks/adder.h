// SPDX-License-Identifier: MIT
// A plain RNN that learns to add binary numbers, bit by bit from the lowest, and its training.
// It prints nothing and opens no file; checkpoints are values of nn::Checkpoint.
#pragma once

#include <map>
#include <string>

#include "examples/common/training.h"
#include "examples/seq2seq/pictures/picture.h"
#include "examples/seq2seq/tasks/addition.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/optim/adam.h"

namespace seq2seq {

struct AdderSettings {
  std::int64_t hidden = 16;
  int bits = 8;  // of the numbers in training
  std::int64_t batch = 64;
  double learning_rate = 0.01;
  double clip = 1;  // largest global norm of the gradient; 0: no clipping
  std::uint64_t seed = 0;
  tapeloop::Device device = tapeloop::Device::cpu;
};
std::map<std::string, std::string> notes_of(const AdderSettings& settings);
// Throws FileError if the notes are not those of an adder.
AdderSettings adder_settings_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);

struct Adder {
  tapeloop::nn::Rnn rnn;
  tapeloop::nn::Linear head;
  tapeloop::Device device;
  Adder(std::int64_t hidden, tapeloop::Random& random,
        tapeloop::Device where = tapeloop::Device::cpu);
  // bits [T, N, 2] -> logits of the sum's bits [T, N, 1] and hidden units [T, N, H]
  struct Output {
    tapeloop::Var logits, hidden;
  };
  Output operator()(const tapeloop::Tensor& bits) const;
  std::uint64_t add(const Sum& sum, int bits) const;
  void visit(tapeloop::nn::Visitor& v) const;
};

// right_sums: how many of the sums have every bit right. trace_of: one sum's hidden units.
std::int64_t right_sums(const Adder& adder, std::span<const Sum> sums, int bits);
CarryTrace trace_of(const Adder& adder, const Sum& sum, int bits);

class AdderTrainer {
 public:
  explicit AdderTrainer(const AdderSettings& settings);
  AdderTrainer(const AdderTrainer&) = delete;
  AdderTrainer& operator=(const AdderTrainer&) = delete;
  // Makes one update with fresh random sums. Returns the loss before it, in nats per bit.
  double update();
  std::int64_t updates() const { return updates_; }
  const Adder& adder() const { return adder_; }
  const common::History& history() const { return history_; }
  // Keeps the present weights as the best: this training does not validate.
  void note_end();
  tapeloop::nn::Checkpoint checkpoint() const;
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path);

 private:
  AdderTrainer(const AdderSettings& settings, tapeloop::Random random);
  tapeloop::Var loss_of(std::span<const Sum> sums) const;
  std::string explain(std::span<const Sum> sums) const;  // says where the first NaN or infinity is
  AdderSettings settings_;
  Adder adder_;
  tapeloop::Random sums_;
  tapeloop::optim::Adam adam_;
  common::History history_;  // holds the final weights; no validations
  std::int64_t updates_ = 0;
};

}  // namespace seq2seq
