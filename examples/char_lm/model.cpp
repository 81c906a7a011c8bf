// SPDX-License-Identifier: MIT
// Building the model, and its forward pass.
#include "examples/char_lm/model.h"

#include "tapeloop/autograd/tensor/error.h"

namespace char_lm {

namespace nn = tapeloop::nn;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::Var;

CharLm::CharLm(std::int64_t vocabulary, const ModelOptions& o, Random& random) {
  if (o.embedding > 0) {
    embedding_ = nn::Embedding(vocabulary, o.embedding, random, -1, o.dtype);
  }
  const nn::RecurrentOptions options{.input = o.embedding > 0 ? o.embedding : vocabulary,
                                     .hidden = o.hidden,
                                     .layers = o.layers,
                                     .dropout = o.dropout,
                                     .dtype = o.dtype};
  if (o.cell == "lstm") {
    layers_ = nn::Lstm(options, random);
  } else if (o.cell == "gru") {
    layers_ = nn::Gru(options, random);
  } else if (o.cell == "rnn") {
    layers_ = nn::Rnn(options, random);
  } else {
    tapeloop::fail("char_lm", "there is no cell '" + o.cell + "'; choose lstm, gru or rnn");
  }
  dropout_ = nn::Dropout(o.dropout, random);
  head_ = nn::Linear(o.hidden, vocabulary, random, true, o.dtype);
  nn::move(*this, o.device);
}

Var CharLm::operator()(const Tensor& tokens, Carried& carried) const {
  const auto run = [&](const auto& stack) {
    typename std::remove_cvref_t<decltype(stack)>::State state;
    for (std::size_t k = 0; k < state.parts && !carried.empty(); ++k) state[k] = carried.at(k);
    // The layers read symbols as one-hot vectors.
    const auto [ys, last] = embedding_ ? stack((*embedding_)(tokens), state) : stack(tokens, state);
    carried.clear();
    for (const Var& part : last) carried.push_back(part.detach());
    return ys;
  };
  return head_(dropout_(std::visit(run, layers_)));
}

void CharLm::visit(nn::Visitor& v) const {
  if (embedding_) v("embedding", *embedding_);
  constexpr const char* kNames[] = {"lstm", "gru", "rnn"};
  std::visit([&](const auto& stack) { v(kNames[layers_.index()], stack); }, layers_);
  v("head", head_);
  v("dropout", dropout_);
}

}  // namespace char_lm
