// SPDX-License-Identifier: MIT
// Sequence to sequence: encoder, bridge and attentional decoder in one model.
// Sutskever et al. 2014, Bahdanau et al. 2015. Any cell on either side. Symbols are
// numbers: no vocabulary and no files.
//   S source steps, T target steps, N batch, V symbols of the target.
#pragma once

#include "tapeloop/nn/decode/decoding.h"
#include "tapeloop/nn/seq2seq/bridge.h"
#include "tapeloop/nn/seq2seq/decoder.h"

namespace tapeloop::nn {

// Encodes symbols: an embedding and a stack of cells in one or two directions.
template <Cell C>
struct Encoder {
  Embedding embedding;  // of the symbols
  Recurrent<C> layers;  // read the embeddings
  Encoder() = default;
  // options.input is the size of the embedding; `own`: what the cell has besides.
  Encoder(std::int64_t vocabulary, const RecurrentOptions& options, Random& random,
          const OptionsOf<C>& own = {})
      : embedding(vocabulary, options.input, random, -1, options.dtype),
        layers(options, random, own) {}
  // symbols [S, N] int64 and the lengths [N] of the sequences (none: all S) -> ys [S, N, D*H],
  // last state [L*D, N, size].
  Unrolled<typename C::State> operator()(const Tensor& symbols,
                                         std::span<const std::int64_t> lengths = {}) const {
    const Scope scope("encoder");
    return layers(embedding(symbols), {}, lengths);
  }
  void visit(Visitor& v) const {
    v("embedding", embedding);
    v("layers", layers);
  }
};

struct Seq2SeqOptions {
  std::int64_t source_vocabulary = 0;      // number of symbols of the source
  RecurrentOptions encoder;                // input: the size of the embedding
  BridgeKind bridge = BridgeKind::linear;  // from the encoder's state to the decoder's
  DecoderOptions decoder;                  // `source` is calculated from the encoder
};

namespace detail {
void check_seq2seq(std::int64_t source, DType encoder, DType decoder);
}

// An encoded source: the attention source and the first state of the decoder.
template <Cell D>
struct Encoded {
  AttentionSource source;            // for the decoder's attention
  DecoderState<D> state;             // the decoder's first
  PoolVector<std::int64_t> lengths;  // of the sources; empty: all S
};

// Sequence to sequence: an encoder, a bridge between the states, and a decoder with attention.
template <Cell E, Cell D = E>
struct Seq2Seq {
  Encoder<E> encoder;  // reads the source
  Bridge bridge;       // makes the decoder's first state
  Decoder<D> decoder;  // predicts the target

  Seq2Seq() = default;
  // `encoder_cell`, `decoder_cell`: what the cells have besides o.encoder and o.decoder.cell.
  Seq2Seq(const Seq2SeqOptions& o, Random& random, const OptionsOf<E>& encoder_cell = {},
          const OptionsOf<D>& decoder_cell = {})
      : encoder(o.source_vocabulary, o.encoder, random, encoder_cell) {
    DecoderOptions own = o.decoder;
    detail::check_seq2seq(own.source, o.encoder.dtype, own.cell.dtype);
    if (own.attend != Attend::never) own.source = encoder.layers.output_size();
    decoder = Decoder<D>(own, random, decoder_cell);
    const auto from = encoder.layers.cells()[0].state_sizes();
    const auto to = decoder.cells[0].state_sizes();
    bridge = Bridge({.kind = o.bridge,
                     .from = {from.begin(), from.end()},
                     .from_layers = o.encoder.layers,
                     .directions = encoder.layers.directions(),
                     .to = {to.begin(), to.end()},
                     .to_layers = own.cell.layers,
                     .dtype = own.cell.dtype},
                    random);
  }

  // Encodes the source [S, N] int64 with lengths [N], each 1..S (none: all S).
  Encoded<D> encode(const Tensor& source, std::span<const std::int64_t> lengths = {}) const {
    const auto [ys, last] = encoder(source, lengths);
    Encoded<D> result;
    if (decoder.options.attend != Attend::never) {
      result.source = decoder.attention.prepare(ys, lengths);
    }
    result.state = decoder.start(bridge(last.all()));
    result.lengths.assign(lengths.begin(), lengths.end());
    return result;
  }

  // Logits [T, N, V] of each next symbol with teacher forcing: symbols [T, N]
  // int64, the start symbol first.
  Var operator()(const Encoded<D>& encoded, const Tensor& symbols) const {
    return decoder.output(decoder.forced(symbols, encoded.state, encoded.source).features);
  }
  // The same with scheduled sampling (scheduled_sampling.h).
  Var operator()(const Encoded<D>& encoded, const Tensor& symbols, double truth_probability,
                 Random& random) const {
    return decoder.output(
        decoder.sampled(symbols, encoded.state, encoded.source, truth_probability, random)
            .features);
  }

  void visit(Visitor& v) const {
    v("encoder", encoder);
    v("bridge", bridge);
    v("decoder", decoder);
  }
};

// A decoder for decode_greedily(), decode_by_sampling() and beam_search(), any number of times. The
// decoder must outlive it. All beams of a sentence read one source.
template <Cell C>
class DecoderSearch final : public StepDecoder {
 public:
  DecoderSearch(const Decoder<C>& decoder, const Encoded<C>& encoded)
      : decoder_(decoder), encoded_(encoded), state_(encoded.state) {}
  DecoderSearch(Decoder<C>&& decoder, const Encoded<C>& encoded) = delete;
  std::int64_t sentences() const override { return encoded_.state.layers[0].h().dim(0); }
  std::span<const std::int64_t> source_lengths() const override { return encoded_.lengths; }
  void restart() override { state_ = encoded_.state; }
  Result step(const Tensor& symbols) override {
    const PauseRecording pause;
    const Decoded decoded = decoder_.step(symbols, state_, encoded_.source);
    return {decoder_.output(decoded.features).value(),
            decoded.weights.defined() ? decoded.weights.value() : Tensor()};
  }
  void select_rows(const Tensor& rows) override {
    const PauseRecording pause;
    for (typename C::State& state : state_.layers) {
      for (std::size_t k = 0; k < state.all().size(); ++k) state[k] = take(state[k], rows, 0);
    }
    if (state_.fed.defined()) state_.fed = take(state_.fed, rows, 0);
  }

 private:
  const Decoder<C>& decoder_;
  Encoded<C> encoded_;
  DecoderState<C> state_;
};

}  // namespace tapeloop::nn
