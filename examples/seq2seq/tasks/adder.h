// SPDX-License-Identifier: MIT
// A plain RNN that learns to add binary numbers, bit by bit from the lowest, and its training.
// It prints nothing and opens no file; checkpoints are values of nn::Checkpoint.
#pragma once

#include <map>
#include <string>

#include "examples/common/run.h"
#include "examples/seq2seq/pictures/picture.h"
#include "examples/seq2seq/settings.h"
#include "examples/seq2seq/tasks/addition.h"
#include "tapeloop/nn/nn.h"

namespace seq2seq {

// Of the settings the adder uses hidden, device, batch, updates, learning_rate, clip and seed.
struct AdderSettings : Settings {
  AdderSettings(const Settings& given, int bits_of_numbers)
      : Settings(given), bits(bits_of_numbers) {}
  int bits;  // of the numbers in training
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

class AdderTrainer : public common::Training {
 public:
  explicit AdderTrainer(const AdderSettings& settings);
  AdderTrainer(const AdderTrainer&) = delete;
  AdderTrainer& operator=(const AdderTrainer&) = delete;
  // Makes one update with fresh random sums. Returns the loss before it, in nats per bit.
  double update() override;
  std::int64_t updates() const override { return learner_.updates(); }
  double units() const override { return static_cast<double>(updates() * settings_.batch); }
  bool finished() const override;
  // This training measures nothing: its best weights are the last ones.
  std::string validate() override;
  const Adder& adder() const { return adder_; }
  const common::History& history() const override { return learner_.history; }
  // Keeps the present weights as the best.
  void note_end();
  tapeloop::nn::Checkpoint checkpoint() const override;
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path) override;
  void check(const tapeloop::nn::Checkpoint& saved, const std::string& path) const override;

 private:
  AdderTrainer(const AdderSettings& settings, tapeloop::Random random);
  AdderSettings settings_;
  Adder adder_;
  tapeloop::Random sums_;
  common::Learner learner_;  // its history holds the final weights; no validations
};

}  // namespace seq2seq
