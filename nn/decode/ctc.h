// SPDX-License-Identifier: MIT
// Decoding of what ctc_loss() trained: from the probabilities of classes at each time step to
// labels. Graves, Fernandez, Gomez & Schmidhuber 2006; prefix search: Hannun et al. 2014,
// arXiv:1408.2873
//   T time steps, N sequences, C classes, one of which is the blank.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::nn {

// A result for each sequence: its labels, without blanks.
struct CtcLabels {
  std::vector<std::int64_t> labels;  // the classes
  double log_probability = 0;        // summed over all alignments (beam), or of one (greedy)
};

// The likeliest class of each step; repetitions are joined, blanks removed. log_probabilities
// [T, N, C], such as log_softmax(logits, 2); lengths [N], each 0..T: the steps that count; empty:
// all. Throws if a shape does not fit or a number is NaN.
std::vector<CtcLabels> ctc_greedy(const Tensor& log_probabilities,
                                  std::span<const std::int64_t> lengths = {},
                                  std::int64_t blank = 0);

struct CtcBeamOptions {
  int beams = 16;          // prefixes that are kept
  std::int64_t blank = 0;  // the class that means "no label"
  // What is added to the logarithm when a prefix is followed by a label: a language model, times
  // its weight. Empty: nothing.
  std::function<double(std::span<const std::int64_t> prefix, std::int64_t label)> prior = {};
};

// The labels with the largest sum over all their alignments, among `beams` prefixes at each step.
// With beams enough for all prefixes it is exact. Cost: T beams C for each sequence.
std::vector<CtcLabels> ctc_beam_search(const Tensor& log_probabilities,
                                       std::span<const std::int64_t> lengths = {},
                                       const CtcBeamOptions& options = {});

}  // namespace tapeloop::nn
