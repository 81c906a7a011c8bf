// SPDX-License-Identifier: MIT
// The parts of the decoder that do not depend on the cell: checks, attention for the rows of a
// beam, symbols for scheduled sampling.
#include "tapeloop/nn/seq2seq/decoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/tensor/error.h"

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
  if (o.cell.noise.wanted() || o.cell.connection != Connection::plain) {
    fail(
        "decoder",
        "cell.noise or cell.connection was given, and a decoder has neither: it runs its cells one "
        "by one; leave both at their defaults, and take cell.dropout against overfitting");
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
                                rank == 1 ? "[R] with R > 0"
                                          : "[T, N] with T > 0 and N > 0, the start symbol first"));
  }
}

void check_start(std::size_t given, std::size_t expected) {
  if (given != expected) {
    fail("decoder", fmt::format("{} parts of the first state were given, expected {}: for each "
                                "layer the parts of its cell's state",
                                given, expected));
  }
}

void check_seq2seq(std::int64_t source, DType encoder, DType decoder) {
  if (source != 0) {
    fail("seq2seq",
         fmt::format("decoder.source is {}; it follows from the encoder: leave it at 0", source));
  }
  if (encoder != decoder) {
    fail("seq2seq", fmt::format("encoder.dtype is {} and decoder.cell.dtype {}; make them agree",
                                name(encoder), name(decoder)));
  }
}

void check_rows(std::size_t layers, std::size_t expected, std::int64_t rows, const Var& h,
                bool fed) {
  if (layers != expected) {
    fail("decoder", fmt::format("the state has {} layers, expected {}; begin with start(...)",
                                layers, expected));
  }
  if (h.dim(0) != rows) {
    fail("decoder", fmt::format("{} symbols were given to a state of {} rows; expected one for "
                                "each row",
                                rows, h.dim(0)));
  }
  if (!fed) {
    fail("decoder", "the state holds no features to be fed (input_feeding); begin with start(...)");
  }
}

void check_layer_size(std::int64_t size, std::int64_t hidden) {
  if (size != hidden) {
    fail("decoder", fmt::format("a layer's cell has {} outputs, that of the first layer {}; the "
                                "layers of a decoder have one size",
                                size, hidden));
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
  PoolVector<bool> kept(static_cast<std::size_t>(truth.dim(0)));
  for (auto&& keep : kept) keep = random.uniform() < truth_probability;
  if (std::all_of(kept.begin(), kept.end(), [](bool keep) { return keep; })) return truth;
  Tensor symbols = sample(logits.value(), random);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    if (kept[i]) symbols.data<std::int64_t>()[row] = static_cast<std::int64_t>(truth.at({row}));
  }
  return symbols;
}

void check_truth_probability(double probability) {
  if (!(probability >= 0 && probability <= 1)) {
    fail("decoder",
         fmt::format("the probability of the truth is {}, expected 0 to 1", probability));
  }
}

}  // namespace tapeloop::nn::detail
