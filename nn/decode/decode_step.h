// SPDX-License-Identifier: MIT
// One step of a model as log-probabilities, checked. Shared by greedy decoding, sampling and
// beam search; private to them.
#pragma once

#include "tapeloop/nn/decode/decoding.h"

namespace tapeloop::nn::detail {

// The result of one step, on the CPU: log p = logits - normaliser, in double
// precision if it is added up.
struct DecodeStep {
  std::int64_t rows = 0;
  std::int64_t classes = 0;
  Tensor logits;      // [R, V], contiguous
  Tensor normaliser;  // [R] float64: log sum exp of each row
  Tensor weights;     // [R, S] float64, or undefined

  // log p of one symbol after a row, and of all symbols.
  double log_p(std::int64_t row, std::int64_t symbol) const;
  void log_p(std::int64_t row, std::span<double> to) const;
  // Throws if the logits of a row are not a distribution. Call it only for sentences that have not
  // ended: the logits after the end do not matter.
  void check_row(std::int64_t i) const;
  Tensor weights_of(std::int64_t row) const {
    return weights.defined() ? weights.select(0, row) : Tensor();
  }
};

// Runs a step with the symbols [R]. Throws if logits or weights have wrong shapes.
DecodeStep take_step(StepDecoder& model, const Tensor& symbols, std::int64_t end);
void check_options(const StepDecoder& model, const DecodeOptions& options);
// Stacks rows [S] to [steps, S]; undefined if the rows are.
Tensor stacked(const std::vector<Tensor>& rows);

}  // namespace tapeloop::nn::detail
