// SPDX-License-Identifier: MIT
// What greedy decoding and beam search share: one step of a model, checked, as log-probabilities.
// For the .cpp files of decoding; no search here.
#pragma once

#include "tapeloop/nn/decode/decoding.h"

namespace tapeloop::nn::detail {

// What one step of the model says, on the CPU: log p = logits - normaliser, in double precision where it is added up.
struct DecodeStep {
  std::int64_t rows = 0;
  std::int64_t classes = 0;
  Tensor logits;      // [R, V], rows side by side
  Tensor normaliser;  // [R] float64: log sum exp of each row
  Tensor weights;     // [R, S] float64, or undefined

  // Of one symbol after a row, and of all of them.
  double log_p(std::int64_t row, std::int64_t symbol) const;
  void log_p(std::int64_t row, std::span<double> to) const;
  // Throws where the logits of a row are no distribution. Of rows that still matter: what a model says behind the end of a
  // sentence is its own affair.
  void check_row(std::int64_t i) const;
  Tensor weights_of(std::int64_t row) const {
    return weights.defined() ? weights.select(0, row) : Tensor();
  }
};

// Feeds the symbols [R]. Throws where logits or weights are misshapen.
DecodeStep take_step(StepDecoder& model, const Tensor& symbols, std::int64_t end);
void check_options(const StepDecoder& model, const DecodeOptions& options);
// [steps, S] of rows [S]; undefined where they are.
Tensor stacked(const std::vector<Tensor>& rows);

}  // namespace tapeloop::nn::detail
