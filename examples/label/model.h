// SPDX-License-Identifier: MIT
// The model: words, and if wanted their characters, through a bidirectional LSTM to labels.
//   T words, N sentences, K labels, W different words of a batch, C characters, E features
#pragma once

#include <span>

#include "examples/label/data.h"
#include "tapeloop/tapeloop.h"

namespace label {

struct ModelSettings {
  Task task = Task::sentiment;
  std::int64_t embedding = 128, hidden = 64;  // hidden: of each direction
  std::int64_t characters = 0;  // features of a word from its characters; 0: they are not read
  std::string pool = "mean";    // of sentiment: mean, max or attention
  double dropout = 0.5, word_dropout = 0.25;
  bool crf = false;
};

// Sentences side by side.
struct Batch {
  tapeloop::Tensor words;                      // [T, N], 0: unknown
  tapeloop::Tensor characters;                 // [C, W]
  std::vector<std::int64_t> spelling_lengths;  // [W]
  tapeloop::Tensor spelling;                   // [T, N]: the place of a word in W
  tapeloop::Tensor labels;                     // [N], or [T, N] with kNoLabel past the lengths
  std::vector<std::int64_t> lengths;           // [N]
  double counted = 0;                          // labels with a number
};
inline constexpr std::int64_t kNoLabel = -100;  // also of a label that the training does not have

struct Labeller {
  ModelSettings settings;
  const Vocabulary* vocabulary;
  tapeloop::nn::Embedding words;
  tapeloop::nn::Lstm spelling, lstm;
  tapeloop::nn::AttentionPooling attention;
  tapeloop::nn::Linear head;
  tapeloop::nn::Crf crf;
  tapeloop::nn::Dropout dropout;
  mutable tapeloop::Random unknown;  // decides which words are unknown
  // The vocabulary must outlive the model.
  Labeller(const ModelSettings& settings, const Vocabulary& vocabulary, tapeloop::Random& random);

  // In training a word is unknown with the probability p / (p + its count), p: word_dropout.
  // Kiperwasser & Goldberg 2016, arXiv:1603.04351
  Batch batch(std::span<const Sample* const> samples, bool training) const;
  tapeloop::Var embedded(const Batch& batch) const;  // [T, N, E]
  // From embedded(): [N, K], or [T, N, K]. Only training drops features.
  tapeloop::Var logits(const tapeloop::Var& x, const Batch& batch, bool training) const;
  tapeloop::Var loss(const tapeloop::Var& logits, const Batch& batch) const;  // mean over labels
  void visit(tapeloop::nn::Visitor& v) const {
    v("words", words), v("spelling", spelling), v("lstm", lstm), v("attention", attention);
    v("head", head), v("crf", crf), v("dropout", dropout), v("unknown", unknown);
  }
};

// What a model says about samples.
struct Report {
  double nats = 0;                      // the mean over the labels
  std::int64_t right = 0, counted = 0;  // labels; those without a number do not count
  std::vector<std::vector<std::int64_t>> found, wanted;  // of each sample; kNoLabel: no number
  double accuracy() const { return static_cast<double>(right) / static_cast<double>(counted); }
};
Report measure(const Labeller& model, const std::vector<Sample>& samples);

// For each word of a text: gradient times input of the found label's logit, minus the mean of all
// logits. Above 0: the word speaks for that label. Simonyan et al. 2014, arXiv:1312.6034
std::vector<double> influence(const Labeller& model, const Sample& sample, std::int64_t found);
// The first 16 texts with the influence of their words, or the confusion matrix of tags.
std::string picture_of(const Labeller& model, const std::vector<Sample>& samples,
                       const Report& report);

}  // namespace label
