// SPDX-License-Identifier: MIT
// The bridge, and what a decoder refuses. seq2seq_test.cpp tests whole models.
#include "tapeloop/nn/cells/cells.h"
#include "tapeloop/nn/seq2seq/seq2seq.h"
#include "tests/support.h"

namespace tapeloop::nn {

TEST_CASE("a bridge copies, maps or drops the encoder's state") {
  Random random(12);
  const Var h(test::random_tensor({4, 3, 2})), c(test::random_tensor({4, 3, 5}, 2));
  const Var parts[] = {h, c};
  const BridgeOptions sizes{.kind = BridgeKind::copy,
                            .from = {2, 5},
                            .from_layers = 2,
                            .directions = 2,
                            .to = {4, 10},
                            .to_layers = 2,
                            .dtype = DType::float64};
  const auto copied = Bridge(sizes, random)(parts);
  REQUIRE(copied.size() == 4);
  for (std::int64_t n = 0; n < 3; ++n) {
    CHECK(copied[2].value().at({n, 1}) == h.value().at({2, n, 1}));
    CHECK(copied[2].value().at({n, 3}) == h.value().at({3, n, 1}));
    CHECK(copied[1].value().at({n, 9}) == c.value().at({1, n, 4}));
  }
  BridgeOptions other = sizes;
  other.kind = BridgeKind::zero;
  for (const Var& part : Bridge(other, random)(parts)) CHECK(norm(part).item() == 0);
  other.kind = BridgeKind::linear;
  other.to = {3, 7, 1};
  other.to_layers = 3;
  const Bridge linear(other, random);
  const auto mapped = linear(parts);
  REQUIRE(mapped.size() == 9);
  CHECK(mapped[4].shape() == Shape{3, 7});
  // The second layer is the input of the third, h that of the third part.
  const Var sides = concat({select_index(h, 0, 2), select_index(h, 0, 3)}, -1);
  CHECK(test::same_bits(mapped[8].value(), tanh(linear.maps[8](sides)).value()));
  other.kind = BridgeKind::copy;
  CHECK(test::throws_with("bridge|copy: the encoder's state has 2 parts, the decoder's 3",
                          [&] { Bridge(other, random); }));
  other.to = {4, 11};
  CHECK(test::throws_with("bridge|copy: part 0 of the encoder's state|take BridgeKind::linear",
                          [&] { Bridge(other, random); }));
  CHECK(
      test::throws_with("bridge|the encoder's state has 1 parts, the bridge was built for 2", [&] {
        linear({parts, 1});
      }));
  const Var wrong[] = {c, c};
  CHECK(test::throws_with("bridge|part 0 of the encoder's state is [4, 3, 5], expected [4, N, 2]",
                          [&] { linear(wrong); }));
}

TEST_CASE("wrong use of a decoder is named") {
  Random random(13);
  const auto make = [&](DecoderOptions o) { return Decoder<GruCell>(o, random); };
  const DecoderOptions good{.vocabulary = 5, .embedding = 3, .cell = {.hidden = 4}, .source = 2};
  DecoderOptions o = good;
  o.vocabulary = 0;
  CHECK(test::throws_with("decoder|vocabulary is 0", [&] { make(o); }));
  o = good;
  o.source = 0;
  CHECK(test::throws_with("decoder|source is 0", [&] { make(o); }));
  o = good;
  o.cell.input = 3;
  CHECK(test::throws_with("decoder|leave cell.input", [&] { make(o); }));
  o = good;
  o.cell.noise.zoneout_h = 0.1;
  CHECK(test::throws_with("decoder|cell.noise|leave both", [&] { make(o); }));
  o = good;
  o.cell.connection = Connection::residual;
  CHECK(test::throws_with("decoder|cell.connection|leave both", [&] { make(o); }));
  o = good;
  o.input_feeding = true;
  CHECK(test::throws_with("decoder|input_feeding and combined belong to Attend::after_step",
                          [&] { make(o); }));
  const Decoder<GruCell> decoder = make(good);
  const Var h(Tensor::zeros({2, 4}));
  CHECK(test::throws_with("decoder|0 parts of the first state were given, expected 1",
                          [&] { decoder.start({}); }));
  DecoderState<GruCell> state = decoder.start({&h, 1});
  const AttentionSource source = decoder.attention.prepare(Var(Tensor::zeros({3, 2, 2})));
  CHECK(test::throws_with("decoder|symbols are int64[2, 1], expected int64 [R]", [&] {
    decoder.step(Tensor::zeros({2, 1}, DType::int64), state, source);
  }));
  CHECK(test::throws_with("decoder|symbols are float32[2]|[T, N]",
                          [&] { decoder.forced(Tensor::zeros({2}), state, source); }));
  CHECK(test::throws_with("attention|the source is undefined",
                          [&] { decoder.step(Tensor::zeros({2}, DType::int64), state, {}); }));
  DecoderState<GruCell> none;
  CHECK(test::throws_with("decoder|the state has 0 layers, expected 1",
                          [&] { decoder.step(Tensor::zeros({2}, DType::int64), none, source); }));
  CHECK(test::throws_with("decoder|1 symbols were given to a state of 2 rows",
                          [&] { decoder.step(Tensor::zeros({1}, DType::int64), state, source); }));
  CHECK(test::throws_with("decoder|3 symbols were given to a state of 2 rows", [&] {
    decoder.forced(Tensor::zeros({2, 3}, DType::int64), state, source);
  }));
  for (const double probability : {-5.0, 7.0, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK(test::throws_with("decoder|the probability of the truth is", [&] {
      decoder.sampled(Tensor::zeros({1, 2}, DType::int64), state, source, probability, random);
    }));
  }
  DecoderOptions fed = good;
  fed.attend = Attend::after_step;
  fed.input_feeding = true;
  const Decoder<GruCell> feeding = make(fed);
  DecoderState<GruCell> without;
  without.layers = state.layers;
  CHECK(test::throws_with("decoder|no features to be fed", [&] {
    feeding.step(Tensor::zeros({2}, DType::int64), without, source);
  }));
  Attention dot({.score = Score::dot, .query = 2, .source = 2}, random);
  Attention additive({.score = Score::additive, .query = 2, .source = 2}, random);
  CHECK(test::throws_with("attention|prepared by an attention with another score", [&] {
    additive(Var(Tensor::zeros({2, 2})), dot.prepare(Var(Tensor::zeros({3, 2, 2}))));
  }));
}

}  // namespace tapeloop::nn
