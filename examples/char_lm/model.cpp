// SPDX-License-Identifier: MIT
// Building the model, and its forward pass.
#include "examples/char_lm/model.h"

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
  layers_ = common::Recurrent(o.cell, options, random);
  dropout_ = nn::Dropout(o.dropout, random);
  head_ = nn::Linear(o.hidden, vocabulary, random, true, o.dtype);
  nn::move(*this, o.device);
}

Var CharLm::operator()(const Tensor& tokens, Carried& carried) const {
  // Without an embedding the layers read symbols as one-hot vectors.
  return head_(
      dropout_(embedding_ ? layers_((*embedding_)(tokens), carried) : layers_(tokens, carried)));
}

void CharLm::visit(nn::Visitor& v) const {
  if (embedding_) v("embedding", *embedding_);
  layers_.visit(v);
  v("head", head_);
  v("dropout", dropout_);
}

}  // namespace char_lm
