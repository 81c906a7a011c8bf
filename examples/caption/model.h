// SPDX-License-Identifier: MIT
// Image to words: a convolutional net, and an LSTM that starts from its features (Vinyals et al.
// 2015, arXiv:1411.4555) or looks at its places before each word (Xu et al. 2015,
// arXiv:1502.03044). It knows no files and no words.
//   N images, C channels, L places of D features, T steps, V symbols, E embedding, H hidden,
//   R rows: N, or a multiple of N in a beam.
#pragma once

#include "tapeloop/tapeloop.h"

namespace caption {

using tapeloop::Tensor;
using tapeloop::Var;

// Convolution 5 x 5 x 8, batch norm, relu, pooling by 4; 3 x 3 x 16, batch norm, relu, pooling by
// 2: x [N, C, S, S] -> [N, 16, S / 8, S / 8].
struct Cnn {
  static constexpr std::int64_t kFeatures = 16;  // D
  tapeloop::nn::Conv2d conv1, conv2;
  tapeloop::nn::BatchNorm bn1, bn2;
  Cnn() = default;
  Cnn(std::int64_t channels, tapeloop::Random& random);
  Var operator()(const Var& x) const;
  void visit(tapeloop::nn::Visitor& v) const {
    v("conv1", conv1), v("bn1", bn1), v("conv2", conv2), v("bn2", bn2);
  }
};

struct ModelOptions {
  std::int64_t size = 56;       // S
  std::int64_t channels = 1;    // C
  std::int64_t vocabulary = 0;  // V
  std::int64_t hidden = 64;     // H
  std::int64_t embedding = 32;  // E
  bool attention = false;
  double penalty = 0;   // lambda of the doubly stochastic penalty
  bool frozen = false;  // the CNN is not trained
};

// What the decoder gets of N images.
struct Encoded {
  tapeloop::nn::AttentionSource source;  // undefined without attention
  tapeloop::nn::LstmCell::State state;   // h, c [N, H]
};

// With the annotations a [L, N, D], features plus a learned vector for each place:
//   h0, c0 = tanh(W mean(a) + b)                       without attention: of all features
//   alpha = softmax(v . tanh(W_a a + b + W_h h))       h of the step before
//   z = sigmoid(w h + b) sum alpha a
//   h', c' = LSTM([e, z]);  logits = W (e + L_h h' + L_z z) + b
// Without attention: h', c' = LSTM(e); logits = W h' + b.
struct Captioner {
  ModelOptions options;
  Cnn cnn;
  Var place;  // [L, 1, D]
  tapeloop::nn::Linear start_h, start_c;
  tapeloop::nn::Embedding words;
  tapeloop::nn::Attention attention;
  tapeloop::nn::Linear gate, deep_h, deep_z;
  tapeloop::nn::LstmCell cell;
  tapeloop::nn::Linear output;
  mutable tapeloop::Random samples;  // of the training

  Captioner(const ModelOptions& options, tapeloop::Random& random);
  std::int64_t side() const { return options.size / 8; }  // L = side^2

  Encoded encode(const Var& images) const;
  struct Result {
    Var logits;   // [R, V] or [T, N, V]
    Var weights;  // [R, L] or [T, N, L]; undefined without attention
  };
  // A step of all rows: symbols [R]. Changes the state.
  Result step(const Tensor& symbols, tapeloop::nn::LstmCell::State& state,
              const tapeloop::nn::AttentionSource& source) const;
  // Teacher forcing: symbols [T, N], the start first.
  Result operator()(const Var& images, const Tensor& symbols) const;
  // Mean cross-entropy of the words, plus lambda mean_n sum_l (1 - sum_t alpha_tl)^2.
  Var loss(const Result& result, const Tensor& targets, const Tensor& within) const;
  void visit(tapeloop::nn::Visitor& v) const;

 private:
  struct Seen {
    Var features;  // the input of the output layer
    Var weights;
  };
  Seen advance(const Var& e, tapeloop::nn::LstmCell::State& state,
               const tapeloop::nn::AttentionSource& source) const;
};

// For beam_search(). The model must outlive it.
class CaptionSearch final : public tapeloop::nn::StepDecoder {
 public:
  CaptionSearch(const Captioner& model, Encoded encoded)
      : model_(model), encoded_(std::move(encoded)), state_(encoded_.state) {}
  std::int64_t sentences() const override { return encoded_.state.h().dim(0); }
  void restart() override { state_ = encoded_.state; }
  Result step(const Tensor& symbols) override;
  void select_rows(const Tensor& rows) override;

 private:
  const Captioner& model_;
  Encoded encoded_;
  tapeloop::nn::LstmCell::State state_;
};

}  // namespace caption
