// SPDX-License-Identifier: MIT
// The parts of the decoder that do not depend on the cell: checks, attention of a beam's rows, mixed symbols.
#include "nn/decoder.h"

#include <fmt/format.h>

#include "autograd/error.h"

namespace tapeloop::nn::detail {

void check_decoder(const DecoderOptions& o) {
  if (o.vocabulary < 1 || o.embedding < 1 || o.source < 0 || o.combined < 0) {
    fail("decoder", fmt::format("vocabulary is {}, embedding {}, source {}, combined {}; expected "
                                "vocabulary and embedding of 1 or more, the others not negative",
                                o.vocabulary, o.embedding, o.source, o.combined));
  }
  if (o.cell.input != 0 || o.cell.bidirectional || o.cell.recompute.wanted()) {
    fail("decoder",
         "cell.input follows from the other sizes, and a decoder has one direction and "
         "stores its steps: leave cell.input, cell.bidirectional and cell.recompute at "
         "their defaults");
  }
  check_stack(o.cell);
  if ((o.attend == Attend::never) != (o.source == 0)) {
    fail("decoder", fmt::format("source is {}: expected the size of the encoder's outputs with "
                                "attention, and 0 without",
                                o.source));
  }
  if (o.attention.query != 0 || o.attention.source != 0) {
    fail("decoder",
         "attention.query and attention.source follow from the decoder's sizes; leave "
         "them at 0");
  }
  if (o.attend != Attend::after_step && (o.input_feeding || o.combined != 0)) {
    fail("decoder",
         "input_feeding and combined belong to Attend::after_step; leave them at their "
         "defaults");
  }
}

void check_decoder_symbols(const Tensor& symbols, std::int64_t rank) {
  if (!symbols.defined() || symbols.dtype() != DType::int64 || symbols.rank() != rank ||
      symbols.numel() == 0) {
    fail("decoder", fmt::format("symbols are {}, expected int64 {}", symbols.describe(),
                                rank == 1 ? "[R]" : "[T, N], the start symbol first"));
  }
}

void check_start(std::size_t given, std::size_t expected) {
  if (given != expected) {
    fail("decoder", fmt::format("{} parts of the first state were given, expected {}: for each "
                                "layer the parts of its cell's state",
                                given, expected));
  }
}

Attended attend_rows(const Attention& attention, const Var& query, const AttentionSource& source) {
  const std::int64_t n = source.defined() ? source.columns.dim(0) : 0;
  const std::int64_t rows = query.dim(0);
  if (rows == n || n == 0 || rows % n != 0) return attention(query, source);
  const Attended seen = attention(reshape(query, {rows / n, n, query.dim(1)}), source);
  return {reshape(seen.context, {rows, -1}), reshape(seen.weights, {rows, -1})};
}

Tensor mixed_symbols(const Tensor& truth, const Var& logits, double truth_probability,
                     Random& random) {
  if (!(truth_probability >= 0)) {
    fail("decoder",
         fmt::format("the probability of the truth is {}, expected 0 to 1", truth_probability));
  }
  const Tensor drawn = sample(logits.value(), random);
  for (std::int64_t i = 0; i < truth.dim(0); ++i) {
    if (random.uniform() < truth_probability) {
      drawn.data<std::int64_t>()[i] = static_cast<std::int64_t>(truth.at({i}));
    }
  }
  return drawn;
}

}  // namespace tapeloop::nn::detail
