// SPDX-License-Identifier: MIT
// The network: layers of a recurrent cell over events, one step per event, then three predictions.
// It does not train itself and draws no notes.
//   T steps, N lines, H hidden size, E size of an embedding. Row-major.
#pragma once

#include <string>

#include "examples/common/cells/cells.h"
#include "examples/jazz/features.h"
#include "examples/jazz/ngram.h"
#include "tapeloop/nn/nn.h"

namespace jazz {

struct ModelOptions {
  std::string cell = "lstm";  // a text for nn::CellChoice
  std::int64_t hidden = 128;
  int layers = 1;
  std::int64_t embedding = 96;
  // Share of the values between the layers that training drops.
  double dropout = 0.5;
  // Share of the features that training drops.
  double forget = 0.3;
  tapeloop::DType dtype = tapeloop::DType::float32;
  tapeloop::Device device = tapeloop::Device::cpu;
};

using common::Memory;  // the recurrent state between batches

// Sums over a batch, in nats.
struct Loss {
  tapeloop::Var sum;  // training minimizes it; a scalar
  double nats[kFactors] = {};
};

class Model {
 public:
  Model(const ModelOptions& options, tapeloop::Random& random);

  // Reads the N lines over T events and updates the memory: rows [T, N, 10] -> h [T, N, H], from
  // which the next events are predicted.
  tapeloop::Var read(const tapeloop::Tensor& input, Memory& memory) const;

  // Logits of one factor, for M = T N or any other number of rows: h [M, H] -> [M, classes].
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
  common::Recurrent layers_;
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
