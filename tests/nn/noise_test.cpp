// SPDX-License-Identifier: MIT
// What noise acts on in each kind of cell, which noise is refused, stacks whose padding is NaN, and
// numbers that cells refuse.
#include <cmath>
#include <limits>

#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;
using test::throws_with;

constexpr std::int64_t kInput = 3, kHidden = 4, kSteps = 5, kBatch = 2;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinite = std::numeric_limits<double>::infinity();

RecurrentOptions sizes(std::int64_t input = kInput, const Noise& noise = {}) {
  return {.input = input, .hidden = kHidden, .dtype = DType::float64, .noise = noise};
}
Tensor inputs(std::int64_t input = kInput) { return random_tensor({kSteps, kBatch, input}, 1); }
Tensor ones(const Shape& shape) { return Tensor::full(shape, 1, DType::float64); }

// The masks that a stack of one cell would draw.
template <class C>
NoiseMasks drawn_masks(const C& cell, const Noise& noise) {
  Random random(3);
  const Tape tape;
  return detail::draw_noise(noise, cell.recurrence(), cell.state_sizes(), detail::zoned_parts(cell),
                            Var(inputs()), random);
}

}  // namespace

TEST_CASE("connections give 0 and finite gradients where the padding is NaN") {
  for (const Connection connection : {Connection::residual, Connection::highway}) {
    Random random(1);
    RecurrentOptions options = sizes(kHidden);
    options.layers = 2;
    options.connection = connection;
    const Lstm lstm(options, random);
    const Tensor padded = inputs(kHidden);
    padded.select(1, 1).slice(0, 2, kSteps).fill(kNan);
    const Var xs = parameter(padded);
    const std::int64_t lengths[] = {kSteps, 2};
    Tape tape;
    const Var ys = lstm(xs, {}, lengths).ys;
    for (const double y : ys.value().select(1, 1).slice(0, 2, kSteps).to_vector<double>()) {
      CHECK(y == 0);
    }
    tape.backward(sum(square(ys)));
    ParameterList all = parameters(lstm);
    all.push_back({"xs", xs});
    for (const NamedVar& p : all) {
      CAPTURE(p.name);
      for (const double g : p.var.grad().value().to_vector<double>()) CHECK(std::isfinite(g));
    }
    const Var alone = lstm(slice(slice(xs, 1, 1, 2), 0, 0, 2)).ys;
    const Var same = slice(slice(ys, 1, 1, 2), 0, 0, 2);
    CHECK(test::distance(alone.value(), same.value()) < 1e-13);
  }
}

TEST_CASE("symbols past the end of a sequence may be any numbers") {
  Random random(2);
  const Lstm lstm(sizes(), random);
  const Tensor valid = Tensor::from({3, 2}, std::vector<std::int64_t>{0, 1, 2, 0, 1, 0});
  const Tensor padded = Tensor::from({3, 2}, std::vector<std::int64_t>{0, 1, 2, -1, 1, 99});
  const std::int64_t lengths[] = {3, 1}, wrong[] = {3};
  CHECK(test::distance(lstm(padded, {}, lengths).ys.value(), lstm(valid, {}, lengths).ys.value()) ==
        0);
  CHECK(padded.at({2, 1}) == 99);
  CHECK(throws_with("recurrent|1 lengths|batch of 2", [&] { lstm(padded, {}, wrong); }));
}

TEST_CASE("masks for symbols have the type of converted weights") {
  Random random(3);
  RecurrentOptions options = sizes(kInput, {.zoneout_h = 0.2, .states = 0.3});
  options.dtype = DType::float32;
  const Lstm lstm(options, random);
  convert(lstm, DType::float64);
  const Tape tape;
  CHECK(lstm(Tensor::zeros({3, 2}, DType::int64)).ys.dtype() == DType::float64);
}

TEST_CASE("masks that do not fit a step are named") {
  Random random(4);
  const LstmCell cell(sizes(), random);
  const Var xs(inputs());
  const auto refuses = [&](const std::string& words, const NoiseMasks& masks) {
    const std::int64_t lengths[] = {kSteps, 2};
    return throws_with(words, [&] { unroll(cell, xs, {}, {.noise = masks}); }) &&
           throws_with(words, [&] { unroll(cell, xs, {}, {.lengths = lengths, .noise = masks}); });
  };
  const Tensor weight = ones({4 * kHidden, kHidden}), update = ones({kSteps, kBatch, kHidden});
  NoiseMasks masks;
  masks.weights = {weight, weight};
  CHECK(refuses("noise|2 masks of weights|1 weights", masks));
  masks.weights = {ones({kHidden})};
  CHECK(refuses("noise|weights is [4]|[16, 4]", masks));
  masks = {};
  masks.updates = {update, update, update};
  CHECK(refuses("noise|3 updates|2 parts", masks));
  masks.updates = {ones({kBatch, kHidden})};
  CHECK(refuses("noise|updates is [2, 4]|[5, 2, 4]", masks));
  masks = {};
  for (const double share : {-0.1, 1.5, kNan}) {
    masks.mean_updates = {0.5, share};
    CHECK(refuses("noise|mean_updates|0 to 1", masks));
  }
  masks = {};
  masks.states = ones({kHidden});
  CHECK(refuses("noise|states is [4]|[2, 4]", masks));
  masks = {};
  masks.outputs = ones({kHidden});
  CHECK(refuses("noise|outputs is [4]|[2, 4]", masks));
  masks = {};
  masks.inputs = ones({kInput});
  CHECK(refuses("noise|inputs is [3]|[2, 3]", masks));
  masks.inputs = ones({kBatch, kInput});
  const Var zx = cell.input(xs);
  CHECK(throws_with("unroll|noise.inputs|Projected",
                    [&] { unroll(cell, Projected{zx}, {}, {.noise = masks}); }));
}

TEST_CASE("weight drop leaves numbers without a gradient alone") {
  Random random(5);
  const LmuCell cell(sizes(), random, {.order = 3, .theta = 5});
  const NoiseMasks masks = drawn_masks(cell, {.weights = 0.5});
  std::size_t drawn = 0;
  for (const Tensor& mask : masks.weights) drawn += mask.defined() ? 1 : 0;
  CHECK(masks.weights.size() == 6);
  CHECK(drawn == 4);  // all but A and B
}

TEST_CASE("zoneout acts on memories, not on counters or stored gates") {
  Random random(6);
  const ClockworkCell clockwork(sizes(), random, {.periods = {1, 2}});
  CHECK(drawn_masks(clockwork, {.zoneout_h = 0.5}).updates.size() == 1);
  const Var xs(inputs());
  const auto waits = [&](const NoiseMasks& masks) {
    return unroll(clockwork, xs, {}, {.noise = masks}).last[1].value();
  };
  CHECK(test::distance(waits(drawn_masks(clockwork, {.zoneout_h = 0.5})), waits({})) == 0);
  CHECK(test::distance(waits(detail::mean_noise({.zoneout_h = 0.5}, 1)), waits({})) == 0);
  const FullGateLstmCell fgr(sizes(), random);
  CHECK(drawn_masks(fgr, {.zoneout_h = 0.1, .zoneout_c = 0.5}).updates.size() == 2);
  CHECK(drawn_masks(LstmCell(sizes(), random), {.zoneout_c = 0.5}).updates.size() == 2);
}

TEST_CASE("a stack refuses noise that its cell does not have") {
  Random random(7);
  const auto of_rate = [](double Noise::*rate) {
    Noise noise;
    noise.*rate = 0.25;
    return sizes(kInput, noise);
  };
  const std::string zoneout = "recurrent|noise.zoneout_c is 0.25|no memory besides h";
  CHECK(throws_with(zoneout, [&] { Gru(of_rate(&Noise::zoneout_c), random); }));
  CHECK(throws_with(zoneout, [&] {
    Clockwork(of_rate(&Noise::zoneout_c), random, {.periods = {1, 2}});
  }));
  CHECK(throws_with("recurrent|noise.weights is 0.25|no products",
                    [&] { MinGru(of_rate(&Noise::weights), random); }));
  for (const auto rate : {&Noise::states, &Noise::weights}) {
    CHECK(throws_with("recurrent|is 0.25|leave it at 0", [&] { IndRnn(of_rate(rate), random); }));
    CHECK(throws_with("recurrent|is 0.25|leave it at 0", [&] { Sru(of_rate(rate), random); }));
  }
  CHECK(throws_with("recurrent|noise.states is 0.25|reads h",
                    [&] { MinLstm(of_rate(&Noise::states), random); }));
  CHECK(throws_with("phased_lstm|noise.inputs is 0.25|times",
                    [&] { PhasedLstm(of_rate(&Noise::inputs), random); }));
  RecurrentOptions residual = sizes(kHidden);
  residual.connection = Connection::residual;
  CHECK(throws_with("phased_lstm|connection is residual", [&] { PhasedLstm(residual, random); }));
  RecurrentOptions recompute = sizes();
  recompute.recompute.steps = -1;
  CHECK(throws_with("recurrent|steps = -1", [&] { Lstm(recompute, random); }));
}

TEST_CASE("cells refuse numbers that make no sense, and say which") {
  Random random(8);
  const RecurrentOptions o = sizes();
  RecurrentOptions bare = o;
  bare.bias = false;
  CHECK(throws_with("recurrent_highway|transform_bias is nan",
                    [&] { RecurrentHighwayCell(o, random, {.transform_bias = kNan}); }));
  for (const double epsilon : {-1.0, kNan, kInfinite}) {
    CHECK(throws_with("layer_norm|epsilon is",
                      [&] { LayerNormLstmCell(o, random, {.epsilon = epsilon}); }));
    CHECK(throws_with("layer_norm|epsilon is",
                      [&] { LayerNormGruCell(o, random, {.epsilon = epsilon}); }));
  }
  CHECK(throws_with("layer_norm_lstm|forget_bias is 1 and bias false",
                    [&] { LayerNormLstmCell(bare, random, {.forget_bias = 1}); }));
  for (const double leak : {-0.1, kNan}) {
    CHECK(throws_with("phased_lstm|leak is", [&] { PhasedLstmCell(o, random, {.leak = leak}); }));
  }
  CHECK(throws_with("sru|scale is nan", [&] { SruCell(o, random, {.scale = kNan}); }));
  const IndRnnCell indrnn(o, random);
  for (const std::int64_t steps : {0, -3}) {
    CHECK(throws_with("indrnn|clip() was given|1 or more", [&] { indrnn.clip(steps); }));
  }
  CHECK(throws_with("clockwork|periods are 1, 16777217|2^24", [&] {
    ClockworkCell(o, random, {.periods = {1, (1 << 24) + 1}});
  }));
  for (const double theta : {0.0, 1e-320, kInfinite, kNan}) {
    CHECK(throws_with("lmu|theta", [&] { LmuCell(o, random, {.theta = theta}); }));
  }
  GraphLstmOptions graph{.input = 3, .hidden = 4};
  graph.adaptive = false;
  graph.forget_reads = ForgetReads::current;
  CHECK(throws_with("graph_lstm|forget_reads|adaptive", [&] { GraphLstm(graph, random); }));
}

}  // namespace tapeloop::nn
