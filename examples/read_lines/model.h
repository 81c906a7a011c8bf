// SPDX-License-Identifier: MIT
// Networks that read lines: an image -> probabilities of digits and the blank at each column.
#pragma once

#include <string>
#include <vector>

#include "examples/read_lines/lines.h"
#include "tapeloop/nn/nn.h"

namespace read_lines {

struct ModelSettings {
  // Convolutions and a bidirectional LSTM; or "md_lstm": two layers of an MD-LSTM, whose outputs
  // are summed over the height
  std::string net = "conv";
  std::int64_t hidden = 0;  // units; 0: 64 of "conv", 16 and then 32 of "md_lstm"
};

class LineModel {
 public:
  LineModel(const ModelSettings& settings, std::int64_t height, tapeloop::Random& random);

  // log P [T, N, 11], T = W / 4; a step stands for four columns of pixels.
  tapeloop::Var operator()(const Batch& batch) const;
  // CTC, the mean over lines. p: what operator() gave.
  tapeloop::Var loss(const tapeloop::Var& p, const Batch& batch) const;
  // The outputs of the lower MD-LSTM for the first line: [height / 4, W / 4, 4 * hidden].
  tapeloop::Tensor activations(const Batch& batch) const;
  void visit(tapeloop::nn::Visitor& v) const;
  mutable tapeloop::Random samples;  // draws the lines of updates

 private:
  tapeloop::Var grid(const Batch& batch) const;  // [height / 4, W / 4, N, 4 * hidden]
  std::string net_;
  tapeloop::nn::Conv2d conv1_, conv2_;
  tapeloop::nn::BatchNorm norm1_, norm2_;
  tapeloop::nn::Lstm lstm_;
  tapeloop::nn::MdLstm grid_, upper_;
  tapeloop::nn::Linear columns_, head_;
};

// The steps of each line: width / 4.
std::vector<std::int64_t> steps_of(const Batch& batch);

}  // namespace read_lines
