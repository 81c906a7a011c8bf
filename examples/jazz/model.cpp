// SPDX-License-Identifier: MIT
// The layers of the network, and its loss. It uses the library's modules alone, without
// hand-written derivatives.
#include "examples/jazz/model.h"

namespace jazz {
namespace {

using namespace tapeloop;

// Sums the table's rows of each place; `forget` drops whole rows: [.., K] -> [.., E].
Var bag(const nn::Embedding& table, const Tensor& rows, const nn::Dropout& forget) {
  const Var vectors = table(rows);
  if (forget.p == 0 || Tape::current() == nullptr) return sum(vectors, {-2});
  const Shape each = rows.shape().inserted(rows.rank(), 1);
  return sum(vectors * forget(Var(Tensor::full(each, 1, vectors.dtype(), vectors.device()))), {-2});
}

// A sum of K rows should be about as large as the other inputs, so each row starts smaller than the
// default N(0, 1).
nn::Embedding table(int rows, std::int64_t width, Random& random, DType dtype) {
  nn::Embedding result(rows, width, random, -1, dtype);
  nn::init::normal(result.weight, 0, 0.2, random);
  return result;
}

}  // namespace

Model::Model(const ModelOptions& o, Random& random)
    : options_(o),
      input_(table(kInputRows, o.embedding, random, o.dtype)),
      delta_(o.hidden, kDeltaClasses, random, true, o.dtype),
      pitch_rows_(table(kPitchRows, o.embedding, random, o.dtype)),
      pitch_hidden_(o.hidden, o.embedding, random, true, o.dtype),
      pitch_(o.embedding, kPitchClasses + kRootColumns + kStepColumns, random, true, o.dtype),
      duration_rows_(table(kDurationRows, o.embedding, random, o.dtype)),
      duration_hidden_(o.hidden, o.embedding, random, true, o.dtype),
      duration_(o.embedding, kDurationClasses, random, true, o.dtype),
      forget_(o.forget, random),
      input_dropout_(o.dropout / 2, random),
      dropout_(o.dropout, random) {
  const nn::RecurrentOptions recurrent{.input = o.embedding,
                                       .hidden = o.hidden,
                                       .layers = o.layers,
                                       .dropout = o.layers > 1 ? o.dropout : 0,
                                       .dtype = o.dtype};
  layers_ = common::Recurrent(o.cell, recurrent, random);
  for (const nn::AnyCell& cell : layers_.layers().cells()) {
    if (const auto* lstm = cell.get<nn::LstmCell>()) {
      nn::init::forget_gate_bias(lstm->w.bias_ih, 1);
    }
  }
  nn::move(*this, o.device);
}

Var Model::read(const Tensor& input, Memory& memory) const {
  return layers_(input_dropout_(bag(input_, input, forget_)), memory);
}

Var Model::delta_logits(const Var& h) const { return delta_(dropout_(h)); }

Var Model::pitch_logits(const Var& h, const Tensor& rows, const Tensor& root_columns,
                        const Tensor& step_columns) const {
  const Var u = tanh(pitch_hidden_(dropout_(h)) + bag(pitch_rows_, rows, forget_));
  const Var all = pitch_(dropout_(u));
  constexpr std::int64_t kRootEnd = kPitchClasses + kRootColumns;
  return slice(all, 1, 0, kPitchClasses) +
         gather(slice(all, 1, kPitchClasses, kRootEnd), root_columns, 1) +
         gather(slice(all, 1, kRootEnd, kRootEnd + kStepColumns), step_columns, 1);
}

Var Model::duration_logits(const Var& h, const Tensor& rows) const {
  return duration_(
      dropout_(tanh(duration_hidden_(dropout_(h)) + bag(duration_rows_, rows, forget_))));
}

Loss Model::loss(const Batch& batch, Memory& memory) const {
  const std::int64_t m = batch.input.dim(0) * batch.input.dim(1);
  const Var h = reshape(read(batch.input, memory), {m, options_.hidden});
  const Var logits[] = {
      delta_logits(h),
      pitch_logits(h, batch.pitch.reshape({m, kPitchFeatures}), batch.root_columns,
                   batch.step_columns),
      duration_logits(h, batch.duration.reshape({m, kDurationFeatures})),
  };
  Loss loss;
  for (std::size_t i = 0; i < kFactors; ++i) {
    const Var nats = cross_entropy(logits[i], batch.targets[i].reshape({m}),
                                   {.ignore_index = kNoTarget, .reduce = Reduce::sum});
    loss.nats[i] = nats.item();
    loss.sum = i == 0 ? nats : loss.sum + nats;
  }
  return loss;
}

void Model::visit(nn::Visitor& v) const {
  v("input", input_);
  layers_.visit(v);
  v("delta", delta_);
  v("pitch_rows", pitch_rows_);
  v("pitch_hidden", pitch_hidden_);
  v("pitch", pitch_);
  v("duration_rows", duration_rows_);
  v("duration_hidden", duration_hidden_);
  v("duration", duration_);
  v("forget", forget_);
  v("input_dropout", input_dropout_);
  v("dropout", dropout_);
}

}  // namespace jazz
