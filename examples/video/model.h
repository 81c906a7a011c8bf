// SPDX-License-Identifier: MIT
// Networks on clips: what moves and where to, and what the next frame will be.
#pragma once

#include <string>

#include "examples/video/clips.h"
#include "tapeloop/nn/nn.h"

namespace video {

struct ModelSettings {
  std::string net = "lstm";  // or "conv_lstm"; "frames": each frame by itself
  std::int64_t hidden = 64;
};

// Frames -> two convolutions -> a recurrent layer over the frames -> the direction of the move that
// led to each frame, and the digit of the clip.
class VideoModel {
 public:
  VideoModel(const ModelSettings& settings, std::int64_t side, tapeloop::Random& random);

  struct Logits {
    tapeloop::Var directions;  // [M, 4], of the rows Batch::moved
    tapeloop::Var digits;      // [N, 10]
  };
  Logits operator()(const Batch& batch) const;
  // The sum of both mean cross-entropies.
  tapeloop::Var loss(const Logits& logits, const Batch& batch) const;
  void visit(tapeloop::nn::Visitor& v) const;
  mutable tapeloop::Random samples;  // draws the clips of updates and their noise

 private:
  ModelSettings settings_;
  std::int64_t small_ = 0;  // height and width of the features
  tapeloop::nn::Conv2d conv1_, conv2_;
  tapeloop::nn::BatchNorm norm1_, norm2_;
  tapeloop::nn::Linear features_, direction_, digit_;
  tapeloop::nn::Lstm lstm_;
  tapeloop::nn::ConvLstm conv_lstm_;
};

// Predicts the pixels of the next frame, without its noise, by a ConvLSTM. Shi et al. 2015,
// arXiv:1506.04214. A pixel of the state stands for 2 x 2 pixels of a frame.
class NextFrame {
 public:
  NextFrame(std::int64_t channels, std::int64_t side, tapeloop::Random& random);
  // Logits of the pixels of frame t + 1 after frames 0 to t: [T, N, side * side].
  tapeloop::Var operator()(const Batch& batch) const;
  tapeloop::Var loss(const Batch& batch) const;  // mean binary cross-entropy of a pixel
  void visit(tapeloop::nn::Visitor& v) const { v("lstm", lstm_), v("pixels", pixels_); }

 private:
  std::int64_t channels_, side_;
  tapeloop::nn::ConvLstm lstm_;
  tapeloop::nn::Conv2d pixels_;
};

// x [R, ...] in the order of Batch::places: [T, N, ...].
tapeloop::Var over_time(const tapeloop::Var& x, const Batch& batch);

}  // namespace video
