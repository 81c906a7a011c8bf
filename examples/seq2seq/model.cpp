// SPDX-License-Identifier: MIT
// Translates options to the library's model, and makes the calls that do not depend on the cell.
#include "examples/seq2seq/model.h"

#include <fmt/format.h>

#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

namespace nn = tapeloop::nn;
using tapeloop::Tensor;
using tapeloop::Var;

namespace {

nn::Score score_of(const std::string& name) {
  if (name == "additive") return nn::Score::additive;
  if (name == "dot") return nn::Score::dot;
  if (name == "general") return nn::Score::general;
  if (name == "cosine") return nn::Score::cosine;
  tapeloop::fail("model", fmt::format("attention is '{}', expected additive, dot, general, cosine "
                                      "or none",
                                      name));
}

nn::Seq2SeqOptions library_options(std::int64_t source_symbols, std::int64_t target_symbols,
                                   const ModelOptions& o) {
  nn::Seq2SeqOptions all;
  all.source_vocabulary = source_symbols;
  all.encoder = {.input = o.embedding,
                 .hidden = o.hidden,
                 .layers = o.layers,
                 .bidirectional = o.bidirectional,
                 .dropout = o.dropout,
                 .dtype = o.dtype};
  nn::DecoderOptions& decoder = all.decoder;
  decoder.vocabulary = target_symbols;
  decoder.embedding = o.embedding;
  decoder.cell = {.hidden = o.hidden, .layers = o.layers, .dropout = o.dropout, .dtype = o.dtype};
  if (o.attention == "none") {
    decoder.attend = nn::Attend::never;
    return all;
  }
  decoder.attention.score = score_of(o.attention);
  if (o.attend != "before" && o.attend != "after") {
    tapeloop::fail("model", fmt::format("attend is '{}', expected before or after", o.attend));
  }
  const bool before = o.attend == "before";
  decoder.attend = before ? nn::Attend::before_step : nn::Attend::after_step;
  const bool by_product = o.attention == "dot" || o.attention == "cosine";
  if (by_product && o.bidirectional) decoder.cell.hidden = 2 * o.hidden;
  // Scales the scores: cosines are at most 1, too small to tell steps apart; dots of many units
  // begin too large.
  decoder.attention.scaled = by_product;
  return all;
}

}  // namespace

Model::Model(std::int64_t source_symbols, std::int64_t target_symbols, const ModelOptions& options,
             tapeloop::Random& random)
    : attends_(options.attention != "none") {
  const nn::Seq2SeqOptions all = library_options(source_symbols, target_symbols, options);
  model_ = nn::Seq2Seq<nn::AnyCell>(all, random, options.cell, options.cell);
  nn::move(*this, options.device);
}

Var Model::operator()(const Tensor& source, std::span<const std::int64_t> lengths,
                      const Tensor& inputs) const {
  return model_(model_.encode(source, lengths), inputs);
}

std::vector<nn::Hypothesis> Model::translate(const Tensor& source,
                                             std::span<const std::int64_t> lengths,
                                             const nn::BeamOptions& options) const {
  nn::DecoderSearch<nn::AnyCell> search(model_.decoder, model_.encode(source, lengths));
  if (options.beams == 1) return nn::decode_greedily(search, options);
  std::vector<nn::Hypothesis> best;
  for (auto& found : nn::beam_search(search, options)) best.push_back(std::move(found[0]));
  return best;
}

Tensor Model::hidden_states(const Tensor& source, std::span<const std::int64_t> lengths,
                            const Tensor& inputs) const {
  auto encoded = model_.encode(source, lengths);
  std::vector<Var> states;
  for (std::int64_t t = 0; t < inputs.dim(0); ++t) {
    model_.decoder.step(inputs.select(0, t), encoded.state, encoded.source);
    states.push_back(encoded.state.layers.back().h());
  }
  return tapeloop::stack(states).value().to(tapeloop::Device::cpu);
}

void Model::visit(nn::Visitor& v) const { model_.visit(v); }

}  // namespace seq2seq
