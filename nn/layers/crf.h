// SPDX-License-Identifier: MIT
// A linear-chain conditional random field: the most probable sequence of tags, when tags depend on
// their neighbours. Lafferty, McCallum & Pereira 2001; over an LSTM: Huang, Xu & Yu 2015,
// arXiv:1508.01991
//   T time steps, N batch, K tags
#pragma once

#include <span>
#include <vector>

#include "tapeloop/autograd/ops/losses.h"
#include "tapeloop/nn/layers/module.h"

namespace tapeloop::nn {

// The score of the tags y of a sequence with emissions e and length L:
//   s(y) = start_transitions[y_0] + end_transitions[y_{L-1}]
//        + sum_{t<L} e[t, y_t] + sum_{0<t<L} transitions[y_{t-1}, y_t]
// and their probability exp(s(y)) / sum_z exp(s(z)). Names and initial values, U(-0.1, 0.1), are
// those of pytorch-crf.
//   emissions  [T, N, K], any numbers, for example of a Linear; steps past a length may be NaN
//   lengths    [N], each 1..T; none: all sequences have T steps
// Both functions throw Error for other shapes and lengths.
struct Crf {
  Var start_transitions;  // [K]: of the first tag
  Var end_transitions;    // [K]: of the last tag
  Var transitions;        // [K, K]: from the row's tag to the column's
  Crf() = default;
  // tags: K.
  Crf(std::int64_t tags, Random& random, DType dtype = DType::float32);

  // The negative log-likelihood of tags [T, N] int64, by the forward algorithm: a scalar, or [N]
  // for Reduce::none. The mean is over the sequences. Tags past a length may be any numbers. Cost:
  // T steps of N K^2 exponentials.
  Var operator()(const Var& emissions, const Tensor& tags,
                 std::span<const std::int64_t> lengths = {}, Reduce reduce = Reduce::mean) const;
  // The tags with the highest score of each sequence, as many as its length, by the Viterbi
  // algorithm. Of several equal scores the lower tag wins. On the CPU, in float64; cost T N K^2.
  std::vector<std::vector<std::int64_t>> decode(const Tensor& emissions,
                                                std::span<const std::int64_t> lengths = {}) const;
  void visit(Visitor& v) const {
    v("start_transitions", start_transitions), v("end_transitions", end_transitions);
    v("transitions", transitions);
  }
};

}  // namespace tapeloop::nn
