// SPDX-License-Identifier: MIT
// Endless batches of sentences of similar length, in a random order. Each pass uses each sentence
// once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "examples/seq2seq/data/vocabulary.h"
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
  tapeloop::Tensor inputs;                   // [T, N]: input of the decoder, kStart first
  tapeloop::Tensor targets;                  // [T, N]: its targets, kEnd last, then kIgnored
  std::vector<std::int64_t> target_lengths;  // [N], the end symbol included
  std::int64_t symbols = 0;                  // sum of target_lengths
};
inline constexpr std::int64_t kIgnored = -100;  // cross_entropy's ignore_index

// Throws Error if there are no examples, or a source is empty.
Batch make_batch(std::span<const Example* const> examples);

class Batches {
 public:
  // A pass shuffles the examples and cuts them into pools of 50 batches. Within a pool, sentences
  // of similar length share a batch, and the batches come in a random order. The last batch of a
  // pass may be smaller. `examples` must outlive this object. Throws Error if there are no
  // examples, or batch_size < 1.
  Batches(std::span<const Example> examples, std::int64_t batch_size,
          const tapeloop::Random& random);

  Batch next();
  std::int64_t per_pass() const { return static_cast<std::int64_t>(batches_.size()); }

  // The position within the pass, for a checkpoint. With the same examples, batch size and random
  // numbers, the next batch is the same. load_state_dict throws Error for a state of another number
  // of examples.
  tapeloop::StateDict state_dict() const;
  void load_state_dict(const tapeloop::StateDict& state);

 private:
  void begin_pass();
  std::span<const Example> examples_;
  std::int64_t size_;
  tapeloop::Random random_;
  std::uint64_t pass_ = 0;                             // start of this pass's random numbers
  std::vector<std::size_t> order_;                     // indices of examples
  std::vector<std::span<const std::size_t>> batches_;  // parts of order_
  std::size_t at_ = 0;                                 // the next batch
};

// The units of a model's output. Each unknown unit is replaced by the source unit with the largest
// attention weight: weights [T, S], possibly with more rows and columns. Without weights, the same
// as decode(). Throws Error if rows or columns are missing.
std::vector<std::string> copied_through(std::span<const std::int64_t> ids,
                                        const tapeloop::Tensor& weights,
                                        const std::vector<std::string>& source,
                                        const Vocabulary& vocabulary);

}  // namespace seq2seq
