// SPDX-License-Identifier: MIT
// Batches of sentences of like length, in a random order, without end; each is seen once in a pass over all.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "examples/seq2seq/vocabulary.h"
#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tape/named.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace seq2seq {

// A pair as numbers, without start and end symbol.
struct Example {
  std::vector<std::int64_t> source, target;
};

struct Batch {
  tapeloop::Tensor source;                   // [S, N] int64, padded by kPad
  std::vector<std::int64_t> source_lengths;  // [N]
  tapeloop::Tensor inputs;                   // [T, N]: what the decoder is fed, kStart first
  tapeloop::Tensor targets;  // [T, N]: what it should say, kEnd last; past it kIgnored
  std::vector<std::int64_t> target_lengths;  // [N], the end symbol included
  std::int64_t symbols = 0;                  // sum of target_lengths
};
inline constexpr std::int64_t kIgnored = -100;  // cross_entropy's ignore_index

// Throws Error for no examples, and for an empty source.
Batch make_batch(std::span<const Example* const> examples);

class Batches {
 public:
  // A pass takes the examples in a random order, by pools of 50 batches; within a pool sentences of like length share
  // a batch, and batches come in a random order. The last batch of a pass may be smaller. `examples` must outlive it.
  // Throws Error for no examples, and for batches of none.
  Batches(std::span<const Example> examples, std::int64_t batch_size, tapeloop::Random random);

  Batch next();
  std::int64_t per_pass() const { return static_cast<std::int64_t>(batches_.size()); }

  // Where in which pass: for a checkpoint. The same examples, size and random numbers go on at the same batch.
  // load_state_dict throws Error for a state of another number of examples.
  tapeloop::StateDict state_dict() const;
  void load_state_dict(const tapeloop::StateDict& state);

 private:
  void begin_pass();
  std::span<const Example> examples_;
  std::int64_t size_;
  tapeloop::Random random_;
  std::uint64_t pass_ = 0;          // where the random numbers of this pass begin
  std::vector<std::size_t> order_;  // of the examples
  std::vector<std::span<const std::size_t>> batches_;  // of order_
  std::size_t at_ = 0;                                 // of the next batch
};

// Units of what a model said, where each unknown one is the source unit that it looked at most: weights [T, S], which may
// have rows and columns beyond. Undefined weights: as decode(). Throws Error where they are too few.
std::vector<std::string> copied_through(std::span<const std::int64_t> ids,
                                        const tapeloop::Tensor& weights,
                                        const std::vector<std::string>& source,
                                        const Vocabulary& vocabulary);

}  // namespace seq2seq
