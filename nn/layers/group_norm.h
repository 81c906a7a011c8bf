// SPDX-License-Identifier: MIT
// Group normalisation: the statistics of groups of channels of one example, not of the batch.
// Wu & He 2018, arXiv:1803.08494
#pragma once

#include "tapeloop/nn/layers/module.h"

namespace tapeloop::nn {

// Normalises each group of channels over its channels and all positions, then scales and shifts
// each channel:
//   y = (x - mean) / sqrt(variance + epsilon) weight + bias     x [N, C, ..] -> y of the same shape
// The variance is biased. With one group it is layer norm of whole examples, with C groups instance
// norm. Throws if x has another number of channels. Saves intermediate results of x's size.
struct GroupNorm {
  Var weight, bias;       // [C], initially 1 and 0
  std::int64_t groups{};  // as given
  double epsilon = 1e-5;  // added to the variance
  GroupNorm() = default;
  // Throws unless the groups divide the channels.
  GroupNorm(std::int64_t groups, std::int64_t channels, double epsilon = 1e-5,
            DType dtype = DType::float32);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) const { v("weight", weight), v("bias", bias); }
};

}  // namespace tapeloop::nn
