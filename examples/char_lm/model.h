// SPDX-License-Identifier: MIT
// The character model: one-hot or embedded symbols -> layers of a recurrent cell -> logits.
// Parameters are named as in PyTorch: lstm.weight_ih_l0, ..., head.weight, head.bias,
// embedding.weight.
// It neither trains nor samples.   T time steps, N streams, V vocabulary, H hidden size
#pragma once

#include <optional>
#include <string>

#include "examples/common/cells/cells.h"
#include "tapeloop/nn/nn.h"

namespace char_lm {

struct ModelOptions {
  std::string cell = "lstm";  // a text for nn::CellChoice
  int layers = 1;
  std::int64_t hidden = 128;   // H
  std::int64_t embedding = 0;  // learned vectors of this size; 0: one-hot input
  double dropout = 0;          // on the outputs of every layer, while training
  tapeloop::DType dtype = tapeloop::DType::float32;
  tapeloop::Device device = tapeloop::Device::cpu;
};

using Carried = common::Memory;  // the state carried from chunk to chunk

class CharLm {
 public:
  CharLm(std::int64_t vocabulary, const ModelOptions& options, tapeloop::Random& random);

  // tokens [T, N] int64 -> logits [T, N, V]. `carried` is the initial state; the function sets it
  // to the last state, without its history.
  tapeloop::Var operator()(const tapeloop::Tensor& tokens, Carried& carried) const;

  void visit(tapeloop::nn::Visitor& v) const;

 private:
  std::optional<tapeloop::nn::Embedding> embedding_;
  common::Recurrent layers_;
  // After the last layer. The stack has the dropout between layers.
  tapeloop::nn::Dropout dropout_;
  tapeloop::nn::Linear head_;
};

}  // namespace char_lm
