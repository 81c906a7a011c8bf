// SPDX-License-Identifier: MIT
// Attentional decoder with any cell, stacked. It reads the source before each step
// (Bahdanau et al. 2015) or after it (Luong et al. 2015). Teacher forcing with scheduled
// sampling; for search see decoding.h.
//   T target steps, N batch, R rows (N, or a multiple of N in a beam), S source steps, V symbols,
//   E embedding, H hidden.
#pragma once

#include "tapeloop/nn/decode/sampling.h"
#include "tapeloop/nn/recurrent/recurrent.h"
#include "tapeloop/nn/seq2seq/attention.h"

namespace tapeloop::nn {

// When the decoder reads the source.
enum class Attend {
  never,
  // c = attend(h of the previous step, top layer); h' = cell([e, c])
  // features [h', c, e]                                                                    Bahdanau
  before_step,
  // h' = cell(e), or cell([e, f]) with input feeding; c = attend(h')
  // features f = tanh(W [c, h'])                                                           Luong
  after_step,
};

struct DecoderOptions {
  std::int64_t vocabulary = 0;  // V
  std::int64_t embedding = 0;   // E
  // The options of the cells: hidden, layers, dropout and others. `input` is calculated: leave it
  // at 0. A decoder has no noise and no connections: it refuses them.
  RecurrentOptions cell;
  Attend attend = Attend::before_step;  // when the source is read
  std::int64_t source = 0;              // D, features of the source
  // score, size and scaled. `query` and `source` are calculated: leave them at 0.
  AttentionOptions attention = {};
  bool input_feeding = false;  // after_step: the features are also an input of the next step
  // after_step: the size of the features f; 0: that of h
  std::int64_t combined = 0;
};

// The state of a decoder.
template <Cell C>
struct DecoderState {
  PoolVector<typename C::State> layers;  // parts [R, size]
  Var fed;                               // input feeding: the features of the previous step [R, F]
};

// The result of one step, or of a whole target.
struct Decoded {
  Var features;  // [R, F] or [T, N, F]: the input of the output layer
  Var weights;   // [R, S] or [T, N, S]; undefined without attention
};

namespace detail {
void check_decoder(const DecoderOptions& options);
void check_decoder_symbols(const Tensor& symbols, std::int64_t rank);
// Checks the state of a step: its layers, its rows, and the fed features if there is input feeding.
void check_rows(std::size_t layers, std::size_t expected, std::int64_t rows, const Var& h,
                bool fed);
void check_layer_size(std::int64_t size, std::int64_t hidden);
void check_truth_probability(double probability);
void check_start(std::size_t given, std::size_t expected);
// One query for each of R rows, to a source of N sequences: rows N apart belong to one sequence.
Attended attend_rows(const Attention& attention, const Var& query, const AttentionSource& source);
// The true symbol with its probability, else a symbol drawn from softmax(logits).
Tensor mixed_symbols(const Tensor& truth, const Var& logits, double truth_probability,
                     Random& random);
}  // namespace detail

// Predicts the symbols of a target, one step at a time or all of a training target at once.
template <Cell C>
struct Decoder {
  DecoderOptions options;  // as given to the constructor
  Embedding embedding;     // of the symbols
  std::vector<C> cells;    // one for each layer
  Attention attention;     // unused if options.attend is Attend::never
  Linear combine;          // after_step: W [F, D + H], no bias
  Linear output;           // [V, F]
  Dropout dropout;         // between the layers

  Decoder() = default;
  // `own`: what the cell has besides o.cell.
  Decoder(const DecoderOptions& o, Random& random, const OptionsOf<C>& own = {}) : options(o) {
    detail::check_decoder(o);
    const bool before = o.attend == Attend::before_step, after = o.attend == Attend::after_step;
    const DType dtype = o.cell.dtype;
    embedding = Embedding(o.vocabulary, o.embedding, random, -1, dtype);
    RecurrentOptions sizes = o.cell;
    sizes.layers = 1;
    const std::int64_t hidden = size_of_h(sizes, own);
    const std::int64_t combined = o.combined > 0 ? o.combined : hidden;
    sizes.input = o.embedding;
    if (before) sizes.input += o.source;
    if (o.input_feeding) sizes.input += combined;
    for (int layer = 0; layer < o.cell.layers; ++layer) {
      cells.push_back(make_cell<C>(sizes, random, own));
      sizes.input = hidden;
      detail::check_layer_size(cells.back().state_sizes()[0], hidden);
    }
    if (o.attend != Attend::never) {
      AttentionOptions attend = o.attention;
      attend.query = hidden;
      attend.source = o.source;
      attend.dtype = dtype;
      attention = Attention(attend, random);
    }
    if (after) combine = Linear(o.source + hidden, combined, random, false, dtype);
    const std::int64_t features = before  ? hidden + o.source + o.embedding
                                  : after ? combined
                                          : hidden;
    output = Linear(features, o.vocabulary, random, true, dtype);
    dropout = Dropout(o.cell.dropout, random);
  }

  // The state before the first step, from the parts of a bridge: [N, size] for each layer and part.
  DecoderState<C> start(std::span<const Var> parts) const {
    const std::size_t each = cells.at(0).state_sizes().size();
    detail::check_start(parts.size(), cells.size() * each);
    DecoderState<C> state;
    for (std::size_t layer = 0; layer < cells.size(); ++layer) {
      const auto own = parts.subspan(layer * each, each);
      const auto sizes = cells[layer].state_sizes();
      for (std::size_t k = 0; k < own.size(); ++k) {
        detail::check_state(own[k], k, parts[0].dim(0), sizes[k], "decoder");
      }
      state.layers.push_back(typename C::State(own));
    }
    if (options.input_feeding) {
      const Var& h = state.layers[0].h();
      state.fed = Var(Tensor::zeros({h.dim(0), combine.weight.dim(0)}, h.dtype(), h.device()));
    }
    return state;
  }

  // One step of all rows: symbols [R] (int64). Changes the state. Logits are output(features).
  Decoded step(const Tensor& symbols, DecoderState<C>& state, const AttentionSource& source) const {
    detail::check_decoder_symbols(symbols, 1);
    return step(embedding(symbols), state, source);
  }
  // The same with the symbols' embeddings [R, E].
  Decoded step(const Var& e, DecoderState<C>& state, const AttentionSource& source) const {
    check_state(state, e.dim(0));
    const Scope scope("decoder");
    return advance(e, state, source);
  }

  // All steps, with the true symbols as inputs: symbols [T, N] int64, the start symbol first. If no
  // step needs the features of the previous one, each layer runs as one sequence, and all queries
  // read the source together.
  Decoded forced(const Tensor& symbols, DecoderState<C> state,
                 const AttentionSource& source) const {
    detail::check_decoder_symbols(symbols, 2);
    check_state(state, symbols.dim(1));
    const Scope scope("decoder");
    const Var es = embedding(symbols);
    if (options.attend != Attend::before_step && !options.input_feeding) {
      Var xs = es;
      for (std::size_t layer = 0; layer < cells.size(); ++layer) {
        if (layer > 0) xs = dropout(xs);
        xs = unroll(cells[layer], xs, state.layers[layer]).ys;
      }
      if (options.attend == Attend::never) return {xs, {}};
      const Attended seen = attention(xs, source);
      return {tanh(combine(concat({seen.context, xs}, -1))), seen.weights};
    }
    PoolVector<Var> features, weights;
    std::int64_t t = 0;
    for (const Var& e : unstack(es)) {
      const TimeStep time_step(t++);
      Decoded one = advance(e, state, source);
      features.push_back(one.features);
      weights.push_back(one.weights);
    }
    return {stack(features), stack(weights)};
  }

  // The same, but each symbol after the first is the true one with the given probability, else
  // drawn from the model's own prediction (scheduled_sampling.h). Drawn symbols carry no gradient.
  Decoded sampled(const Tensor& symbols, DecoderState<C> state, const AttentionSource& source,
                  double truth_probability, Random& random) const {
    detail::check_decoder_symbols(symbols, 2);
    detail::check_truth_probability(truth_probability);
    if (truth_probability == 1) return forced(symbols, std::move(state), source);
    PoolVector<Var> features, weights;
    Tensor fed = symbols.select(0, 0);
    for (std::int64_t t = 0; t < symbols.dim(0); ++t) {
      const TimeStep time_step(t);
      if (t > 0) {
        const PauseRecording pause;
        const Var said = output(features.back());
        fed = detail::mixed_symbols(symbols.select(0, t), said, truth_probability, random);
      }
      Decoded one = step(fed, state, source);
      features.push_back(one.features);
      if (one.weights.defined()) weights.push_back(one.weights);
    }
    return {stack(features), weights.empty() ? Var() : stack(weights)};
  }

  void visit(Visitor& v) const {
    v("embedding", embedding);
    v("cells", cells);
    v("attention", attention);
    v("combine", combine);
    v("output", output);
    if (options.cell.dropout > 0 && options.cell.layers > 1) v("dropout", dropout);
  }

 private:
  // The size of a cell's h, which does not depend on its input: asks a small cell.
  static std::int64_t size_of_h(RecurrentOptions sizes, const OptionsOf<C>& own) {
    sizes.input = 2;  // features, and a time
    Random unused;
    return make_cell<C>(sizes, unused, own).state_sizes()[0];
  }
  // step() without its checks
  Decoded advance(const Var& e, DecoderState<C>& state, const AttentionSource& source) const {
    Attended seen;
    Var x = e;
    if (options.attend == Attend::before_step) {
      seen = detail::attend_rows(attention, state.layers.back().h(), source);
      x = concat({e, seen.context}, -1);
    }
    if (options.input_feeding) x = concat({e, state.fed}, -1);
    for (std::size_t layer = 0; layer < cells.size(); ++layer) {
      if (layer > 0) x = dropout(x);
      const C& cell = cells[layer];
      if constexpr (HasInput<C>) x = cell.input(x);
      state.layers[layer] = nn::step(cell, x, state.layers[layer]);
      x = state.layers[layer].h();
    }
    if (options.attend == Attend::before_step) {
      return {concat({x, seen.context, e}, -1), seen.weights};
    }
    if (options.attend == Attend::never) return {x, {}};
    seen = detail::attend_rows(attention, x, source);
    Var features = tanh(combine(concat({seen.context, x}, -1)));
    if (options.input_feeding) state.fed = features;
    return {features, seen.weights};
  }

  void check_state(const DecoderState<C>& state, std::int64_t rows) const {
    const Var h = state.layers.empty() ? Var() : state.layers[0].h();
    detail::check_rows(state.layers.size(), cells.size(), rows, h,
                       !options.input_feeding || state.fed.defined());
  }
};

}  // namespace tapeloop::nn
