// SPDX-License-Identifier: MIT
// The net, the decoder and its loss.
#include "examples/caption/model.h"

#include <optional>

#include "examples/caption/scenes.h"
#include "tapeloop/nn/layers/init.h"

namespace caption {

using namespace tapeloop;
using State = nn::LstmCell::State;

Cnn::Cnn(std::int64_t channels, Random& random)
    : conv1(channels, 8, {5, 5}, random, {.padding = {2, 2}}),
      conv2(8, kFeatures, {3, 3}, random, {.padding = {1, 1}}),
      bn1(8),
      bn2(kFeatures) {}

// relu behind the pooling gives the same, of fewer elements.
Var Cnn::operator()(const Var& x) const {
  const Scope scope("cnn");
  const Var first = relu(max_pool2d(bn1(conv1(x)), {.kernel = {4, 4}}));
  return relu(max_pool2d(bn2(conv2(first)), {.kernel = {2, 2}}));
}

Captioner::Captioner(const ModelOptions& o, Random& random)
    : options(o), cnn(o.channels, random), words(o.vocabulary, o.embedding, random) {
  const std::int64_t places = side() * side(), features = Cnn::kFeatures;
  const std::int64_t code = o.attention ? features : places * features;
  start_h = nn::Linear(code, o.hidden, random);
  start_c = nn::Linear(code, o.hidden, random);
  cell = nn::LstmCell({.input = o.embedding + (o.attention ? features : 0), .hidden = o.hidden},
                      random);
  if (o.attention) {
    place = nn::uniform_parameter({places, 1, features}, 1, random, DType::float32);
    attention = nn::Attention({.query = o.hidden, .source = features}, random);
    gate = nn::Linear(o.hidden, 1, random);
    deep_h = nn::Linear(o.hidden, o.embedding, random, false);
    deep_z = nn::Linear(features, o.embedding, random, false);
  }
  output = nn::Linear(o.attention ? o.embedding : o.hidden, o.vocabulary, random);
  samples = random.split();
}

Encoded Captioner::encode(const Var& images) const {
  std::optional<PauseRecording> pause;
  if (options.frozen) pause.emplace();
  const Var features = cnn(images);
  pause.reset();
  const std::int64_t n = images.dim(0);
  if (!options.attention) {
    const Var code = reshape(features, {n, -1});
    return {{}, State(tanh(start_h(code)), tanh(start_c(code)))};
  }
  const Var annotations =
      permute(reshape(features, {n, Cnn::kFeatures, side() * side()}), {2, 0, 1}) + place;
  const Var code = mean(annotations, {0});
  return {attention.prepare(annotations), State(tanh(start_h(code)), tanh(start_c(code)))};
}

Captioner::Seen Captioner::advance(const Var& e, State& state,
                                   const nn::AttentionSource& source) const {
  if (!options.attention) {
    state = cell.step(cell.input(e), state);
    return {state.h(), {}};
  }
  const nn::Attended seen = nn::detail::attend_rows(attention, state.h(), source);
  const Var z = sigmoid(gate(state.h())) * seen.context;
  state = cell.step(cell.input(concat({e, z}, -1)), state);
  return {e + deep_h(state.h()) + deep_z(z), seen.weights};
}

Captioner::Result Captioner::step(const Tensor& symbols, State& state,
                                  const nn::AttentionSource& source) const {
  const Seen seen = advance(words(symbols), state, source);
  return {output(seen.features), seen.weights};
}

Captioner::Result Captioner::operator()(const Var& images, const Tensor& symbols) const {
  const Encoded encoded = encode(images);
  const Scope scope("decoder");
  const Var es = words(symbols);
  if (!options.attention) return {output(unroll(cell, es, encoded.state).ys), {}};
  State state = encoded.state;
  PoolVector<Var> features, weights;
  std::int64_t t = 0;
  for (const Var& e : unstack(es)) {
    const TimeStep time_step(t++);
    const Seen seen = advance(e, state, encoded.source);
    features.push_back(seen.features);
    weights.push_back(seen.weights);
  }
  return {output(stack(features)), stack(weights)};
}

Var Captioner::loss(const Result& result, const Tensor& targets, const Tensor& within) const {
  const Var words_loss = cross_entropy(result.logits, targets, {.ignore_index = kNone});
  if (!options.attention || options.penalty == 0) return words_loss;
  const Var seen = sum(result.weights * Var(within), {0});
  const auto images = static_cast<double>(seen.dim(0));
  return words_loss + sum(square(1.0 - seen)) * (options.penalty / images);
}

void Captioner::visit(nn::Visitor& v) const {
  v("cnn", cnn), v("place", place), v("start_h", start_h), v("start_c", start_c);
  v("words", words), v("attention", attention), v("gate", gate);
  v("deep_h", deep_h), v("deep_z", deep_z), v("cell", cell), v("output", output);
  v("samples", samples);
}

CaptionSearch::Result CaptionSearch::step(const Tensor& symbols) {
  const PauseRecording pause;
  const Captioner::Result result = model_.step(symbols, state_, encoded_.source);
  return {result.logits.value(), result.weights.defined() ? result.weights.value() : Tensor()};
}

void CaptionSearch::select_rows(const Tensor& rows) {
  const PauseRecording pause;
  for (std::size_t k = 0; k < State::parts; ++k) state_[k] = take(state_[k], rows, 0);
}

}  // namespace caption
