// SPDX-License-Identifier: MIT
// The translator: encoder, bridge, attention and decoder of nn/seq2seq/seq2seq.h, with the cell and
// the attention chosen by name. Symbols are numbers here; it neither trains nor knows a vocabulary.
//   S source steps, T target steps, N batch, V symbols of the target
#pragma once

#include <span>
#include <string>

#include "tapeloop/nn/nn.h"
#include "tapeloop/nn/seq2seq/seq2seq.h"

namespace seq2seq {

struct ModelOptions {
  std::string cell = "gru";  // a text for nn::CellChoice: of the encoder and the decoder
  bool bidirectional = true;
  int layers = 1;
  // Units of each direction of the encoder, and of the decoder. If attention compares by product
  // (dot, cosine), the decoder has as many units as the encoder's output: twice as many with two
  // directions.
  std::int64_t hidden = 64;
  std::int64_t embedding = 32;
  // Attention score: additive, dot, general, cosine; none: a plain encoder-decoder.
  std::string attention = "additive";
  std::string attend = "before";  // before the step (Bahdanau) or after it (Luong)
  double dropout = 0;             // between layers
  tapeloop::DType dtype = tapeloop::DType::float32;
  tapeloop::Device device = tapeloop::Device::cpu;
};

class Model {
 public:
  // Takes the sizes of both vocabularies. Throws Error for options that exclude each other.
  Model(std::int64_t source_symbols, std::int64_t target_symbols, const ModelOptions& options,
        tapeloop::Random& random);

  // source [S, N] and its lengths [N]; inputs [T, N], the start symbol first -> logits [T, N, V]
  tapeloop::Var operator()(const tapeloop::Tensor& source, std::span<const std::int64_t> lengths,
                           const tapeloop::Tensor& inputs) const;

  // The likeliest translation of each source; one beam is greedy search. See nn::beam_search.
  std::vector<tapeloop::nn::Hypothesis> translate(const tapeloop::Tensor& source,
                                                  std::span<const std::int64_t> lengths,
                                                  const tapeloop::nn::BeamOptions& options) const;

  // The first part of the decoder's state after each step [T, N, H], on the CPU, with `inputs` fed:
  // for a picture.
  tapeloop::Tensor hidden_states(const tapeloop::Tensor& source,
                                 std::span<const std::int64_t> lengths,
                                 const tapeloop::Tensor& inputs) const;

  bool attends() const { return attends_; }
  void visit(tapeloop::nn::Visitor& v) const;

 private:
  tapeloop::nn::Seq2Seq<tapeloop::nn::AnyCell> model_;
  bool attends_ = true;
};

}  // namespace seq2seq
