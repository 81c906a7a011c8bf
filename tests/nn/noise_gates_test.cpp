// SPDX-License-Identifier: MIT
// Variational dropout with a mask for each gate: against gates calculated one by one, gradients,
// and cells that have no gates apart.
#include "tapeloop/autograd/look/gradcheck.h"
#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;
using test::throws_with;

constexpr std::int64_t kInput = 3, kHidden = 4, kSteps = 5, kBatch = 2;

RecurrentOptions options(const Noise& noise = {}) {
  return {.input = kInput, .hidden = kHidden, .dtype = DType::float64, .noise = noise};
}
Tensor inputs() { return random_tensor({kSteps, kBatch, kInput}, 1); }

// 0 or 2, by chance.
Tensor mask(const Shape& shape, std::uint64_t seed) {
  std::vector<double> values = random_tensor(shape, seed).to_vector<double>();
  for (double& x : values) x = x < 0 ? 0 : 2;
  return Tensor::from(shape, values);
}
NoiseMasks masks_of_gates(std::int64_t gates) {
  NoiseMasks masks;
  masks.inputs = mask({gates, kBatch, kInput}, 2);
  masks.states = mask({gates, kBatch, kHidden}, 3);
  return masks;
}

// Rows of gate g of a weight or a bias.
Var rows(const Var& x, std::int64_t g) { return slice(x, 0, g * kHidden, (g + 1) * kHidden); }
Var masked(const Var& x, const Tensor& masks, std::int64_t g) {
  return x * Var(masks.select(0, g));
}

TEST_CASE("an LSTM: each gate reads x and h through its own masks") {
  Random random(1);
  const Lstm lstm(options(), random);
  const LstmCell& cell = lstm.cells()[0];
  const NoiseMasks masks = masks_of_gates(4);
  const ParameterList p = parameters(lstm);
  REQUIRE(p.size() == 4);
  Var h(Tensor::zeros({kBatch, kHidden}, DType::float64)), c = h;
  std::vector<Var> expected;
  for (const Var& x : unstack(Var(inputs()))) {
    const auto gate = [&](std::int64_t g) {
      return linear(masked(x, masks.inputs, g), rows(p[0].var, g), rows(p[2].var, g)) +
             linear(masked(h, masks.states, g), rows(p[1].var, g), rows(p[3].var, g));
    };
    c = sigmoid(gate(1)) * c + sigmoid(gate(0)) * tanh(gate(2));
    h = sigmoid(gate(3)) * tanh(c);
    expected.push_back(h);
  }
  const Var ys = unroll(cell, Var(inputs()), {}, {.noise = masks}).ys;
  CHECK(test::distance(ys.value(), stack(expected).value()) < 1e-14);
  // Ragged lengths, segments, and steps one by one give the same.
  const std::int64_t lengths[] = {kSteps, 3};
  const Var ragged = unroll(cell, Var(inputs()), {}, {.lengths = lengths, .noise = masks}).ys;
  CHECK(test::distance(ragged.value().slice(0, 0, 3), ys.value().slice(0, 0, 3)) < 1e-14);
  CHECK(test::distance(ragged.value().select(1, 0), ys.value().select(1, 0)) < 1e-14);
  const Tape tape;
  const Var segments =
      unroll(cell, Var(inputs()), {}, {.recompute = {.steps = 2}, .noise = masks}).ys;
  CHECK(test::distance(segments.value(), ys.value()) < 1e-14);
  RecordActivations record;
  const Var steps = unroll(cell, Var(inputs()), {}, {.noise = masks}).ys;
  CHECK(test::distance(steps.value(), ys.value()) < 1e-14);
}

TEST_CASE("equal masks of all gates are one mask, for every cell whose gates can be apart") {
  const auto same = [](const auto& cell, std::int64_t gates) {
    NoiseMasks one, apart;
    one.inputs = mask({kBatch, kInput}, 4);
    one.states = mask({kBatch, kHidden}, 5);
    apart.inputs = one.inputs.expand({gates, kBatch, kInput}).contiguous();
    apart.states = one.states.expand({gates, kBatch, kHidden}).contiguous();
    const auto gradient = [&](const NoiseMasks& masks) {
      Tape tape;
      const auto result = unroll(cell, Var(inputs()), {}, {.noise = masks});
      const ParameterList p = parameters(cell);
      std::vector<Var> wanted;
      for (const NamedVar& one_of : p) wanted.push_back(one_of.var);
      std::vector<Tensor> all{result.ys.value()};
      for (const Var& g : tape.gradient(sum(square(result.ys)), wanted)) all.push_back(g.value());
      return all;
    };
    const std::vector<Tensor> expected = gradient(one), found = gradient(apart);
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(test::distance(found[i], expected[i]) < 1e-12);
  };
  Random random(6);
  same(Rnn(options(), random).cells()[0], 1);
  same(Lstm(options(), random).cells()[0], 4);
  same(Gru(options(), random).cells()[0], 3);
  same(PeepholeLstm(options(), random).cells()[0], 4);
}

TEST_CASE("gradients through masks of gates, first and second order") {
  Random random(7);
  const Gru gru(options(), random);
  const NoiseMasks masks = masks_of_gates(3);
  ParameterList all = parameters(gru);
  const Var xs = parameter(inputs());
  all.push_back({"xs", xs});
  const auto report = gradcheck([&] { return unroll(gru.cells()[0], xs, {}, {.noise = masks}).ys; },
                                all, {.second_order = true});
  CHECK_MESSAGE(report.ok, report.str());
}

TEST_CASE("a stack draws a mask for each gate, and saves its stream") {
  const auto run = [](bool untied) {
    Random random(8);
    const Lstm lstm(options({.inputs = 0.4, .states = 0.4, .untied = untied}), random);
    const Tape tape;
    return lstm(Var(inputs())).ys.value();
  };
  CHECK(test::same_bits(run(true), run(true)));
  CHECK(test::distance(run(true), run(false)) > 1e-3);
}

TEST_CASE("cells without gates apart refuse them") {
  Random random(9);
  const Noise noise{.states = 0.3, .untied = true};
  CHECK(throws_with("recurrence|blocks of 4 rows|layer norm",
                    [&] { LayerNormLstm(options(noise), random); }));
  CHECK(throws_with("recurrent|noise.untied|reads h",
                    [&] { IndRnn(options({.inputs = 0.3, .untied = true}), random); }));
  const Lstm lstm(options(), random);
  NoiseMasks masks = masks_of_gates(3);
  masks.inputs = {};
  CHECK(throws_with("noise|states is [3, 2, 4]|[4, 2, 4]",
                    [&] { unroll(lstm.cells()[0], Var(inputs()), {}, {.noise = masks}); }));
  masks.states = {};
  masks.inputs = mask({3, kBatch, kInput}, 2);
  CHECK(throws_with("noise|3 gates|16 columns",
                    [&] { unroll(lstm.cells()[0], Var(inputs()), {}, {.noise = masks}); }));
}

}  // namespace
}  // namespace tapeloop::nn
