// SPDX-License-Identifier: MIT
// The network: a LSTM or GRU over events, one step per event, and the three predictions after it.
// It does not train itself and draws no notes.
//   T steps, N lines, H hidden size, E size of an embedding. Row-major.
#pragma once

#include <vector>

#include "examples/jazz/features.h"
#include "examples/jazz/ngram.h"
#include "tapeloop/nn/nn.h"

namespace jazz {

struct ModelOptions {
  bool gru = false;
  std::int64_t hidden = 128;
  int layers = 1;
  std::int64_t embedding = 96;
  double dropout = 0.5;  // share of what the layers give each other that is dropped in training
  double forget = 0.3;   // share of the features that are dropped in training
  tapeloop::DType dtype = tapeloop::DType::float32;
  tapeloop::Device device = tapeloop::Device::cpu;
};

// What the recurrent layers carry over time, cut from its history: h, and c of a LSTM, each
// [layers, N, H]. Empty: zeros.
using Memory = std::vector<tapeloop::Tensor>;

// Sums over a batch, in nats.
struct Loss {
  tapeloop::Var sum;  // what training makes small, a scalar
  double nats[kFactors] = {};
};

class Model {
 public:
  Model(const ModelOptions& options, tapeloop::Random& random);

  // Takes the lines before T events to the states they are predicted from, and moves the memory on:
  // rows [T, N, 10] -> h [T, N, H].
  tapeloop::Var read(const tapeloop::Tensor& input, Memory& memory) const;

  // Logits of one factor, M = T N or any other number of rows: h [M, H] -> [M, classes].
  tapeloop::Var delta_logits(const tapeloop::Var& h) const;
  tapeloop::Var pitch_logits(const tapeloop::Var& h, const tapeloop::Tensor& rows,
                             const tapeloop::Tensor& root_columns,
                             const tapeloop::Tensor& step_columns) const;
  tapeloop::Var duration_logits(const tapeloop::Var& h, const tapeloop::Tensor& rows) const;

  Loss loss(const Batch& batch, Memory& memory) const;

  const ModelOptions& options() const { return options_; }
  void visit(tapeloop::nn::Visitor& v) const;

 private:
  ModelOptions options_;
  tapeloop::nn::Embedding input_;
  tapeloop::nn::Lstm lstm_;  // one of these two has cells
  tapeloop::nn::Gru gru_;
  tapeloop::nn::Linear delta_;
  tapeloop::nn::Embedding pitch_rows_;
  tapeloop::nn::Linear pitch_hidden_;
  tapeloop::nn::Linear pitch_;
  tapeloop::nn::Embedding duration_rows_;
  tapeloop::nn::Linear duration_hidden_;
  tapeloop::nn::Linear duration_;
  tapeloop::nn::Dropout forget_;
  tapeloop::nn::Dropout input_dropout_;
  tapeloop::nn::Dropout dropout_;
};

}  // namespace jazz
