// SPDX-License-Identifier: MIT
// Noise in recurrences: masks that change nothing, masks of one kind, their gradients, and what
// noise needs.
#include "tests/nn/equal_cells.h"

namespace tapeloop::nn {

// Without memory loss: c' = f c + i (g m).
TEST_CASE("a mask on the candidate of an LSTM leaves its memory alone") {
  const auto cell = made<LstmCell>(40);
  const State<2> start(Var(random_tensor({3, kHidden}, 6)), Var(random_tensor({3, kHidden}, 7)));
  NoiseMasks none;
  none.candidates = Tensor::zeros({7, 3, kHidden}, DType::float64);
  open(cell.w, 1);
  const auto last = unroll(cell, inputs(), start, {.noise = none}).last;
  CHECK(test::distance(last[1].value(), start[1].value()) < kSame);
}

TEST_CASE("noise of rate 0 changes nothing, and neither do masks of ones") {
  Random a(11), b(11);
  RecurrentOptions options = sizes();
  const Lstm plain(options, a);
  options.noise = {.zoneout_h = 0.5};
  Lstm noisy(options, b);
  const auto ones = [](const Shape& shape) { return Tensor::full(shape, 1, DType::float64); };
  NoiseMasks masks;
  masks.inputs = ones({3, kInput});
  masks.states = masks.outputs = ones({3, kHidden});
  masks.weights = {ones({4 * kHidden, kHidden})};
  masks.candidates = ones({7, 3, kHidden});
  masks.updates = {ones({7, 3, kHidden}), ones({7, 3, kHidden})};
  const Var expected = plain(inputs()).ys;
  const Var masked = unroll(plain.cells()[0], inputs(), {}, {.noise = masks}).ys;
  CHECK(test::distance(masked.value(), expected.value()) < kSame);
  // Without a tape zoneout takes the mean of both states.
  CHECK(test::distance(noisy(inputs()).ys.value(), expected.value()) > 0.01);
}

TEST_CASE("masks of noise depend on the stream only, and act while a tape records") {
  RecurrentOptions options = sizes();
  options.layers = 2;
  options.noise = {.zoneout_h = 0.3, .inputs = 0.2, .states = 0.3, .outputs = 0.2, .weights = 0.4};
  const auto run = [&](bool recorded, std::int64_t segment) {
    Random random(28);
    RecurrentOptions own = options;
    own.recompute.steps = segment;
    const Gru gru(own, random);
    const Var xs = parameter(inputs().value());
    std::optional<Tape> tape;
    if (recorded) tape.emplace();
    const Var ys = gru(xs).ys;
    std::vector<Tensor> result{ys.value()};
    if (!recorded) return result;
    tape->backward(sum(square(ys)));
    result.push_back(xs.grad().value());
    for (const NamedVar& p : parameters(gru)) result.push_back(p.var.grad().value());
    return result;
  };
  const auto first = run(true, 0), again = run(true, 0), segments = run(true, 3);
  REQUIRE(first.size() == segments.size());
  CHECK(test::distance(first[0], run(false, 0)[0]) > 0.01);
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK(test::same_bits(first[i], again[i]));
    CHECK(test::distance(first[i], segments[i]) < 1e-12);
  }
}

TEST_CASE("gradients through noise are right") {
  Random random(29);
  const auto check = [&](const auto& cell, double candidates) {
    const auto state_sizes = cell.state_sizes();
    const std::vector<std::int64_t> list(state_sizes.begin(), state_sizes.end());
    const Var xs = parameter(random_tensor({3, 2, kInput}, 5));
    NoiseMasks masks;
    {
      const Tape tape;
      masks = detail::draw_noise({.zoneout_h = 0.4,
                                  .zoneout_c = 0.4,
                                  .inputs = 0.3,
                                  .states = 0.3,
                                  .candidates = candidates,
                                  .weights = 0.2},
                                 cell.recurrence(), list, list.size(), xs, random);
    }
    ParameterList weights = parameters(cell);
    weights.push_back({"xs", xs});
    const std::int64_t lengths[] = {3, 1};
    for (const bool ragged : {false, true}) {
      UnrollOptions options{.noise = masks};
      if (ragged) options.lengths = lengths;
      const GradcheckReport report = gradcheck([&] { return unroll(cell, xs, {}, options).ys; },
                                               weights, {.second_order = true});
      CHECK_MESSAGE(report.ok, report.str());
    }
  };
  check(made<LstmCell>(30), 0.3);
  check(made<GruCell>(31), 0.3);
  check(made<GruCell>(31, {.reset = GruReset::before}), 0);
}

TEST_CASE("noise says what it needs") {
  struct StepsOnly {
    using State = nn::State<1>;
    std::array<std::int64_t, 1> state_sizes() const { return {kInput}; }
    State step(const Var& x, const State& s) const { return State(tanh(x + s.h())); }
    void visit(Visitor&) const {}
  };
  NoiseMasks masks;
  masks.states = Tensor::full({3, kInput}, 1, DType::float64);
  CHECK(test::throws_with("noise needs a cell with recurrence()",
                          [&] { unroll(StepsOnly{}, inputs(), {}, {.noise = masks}); }));
  Random random(32);
  RecurrentOptions options = sizes();
  options.noise.states = 1;
  CHECK(test::throws_with("noise is 1|0 <= p < 1", [&] { Lstm(options, random); }));
  options.noise = {};
  options.connection = Connection::residual;
  CHECK(test::throws_with("stepper|residual or highway",
                          [&] { make_stepper(Lstm(options, random)); }));
  options.connection = Connection::plain;
  options.noise = {.candidates = 0.5};
  const Tape tape;
  CHECK(test::throws_with("noise.candidates|recurrence(const of::Source& mask)",
                          [&] { Gru(options, random, {.reset = GruReset::before})(inputs()); }));
  CHECK(
      test::throws_with("noise.candidates|nn::LstmCell", [&] { Mgu(options, random)(inputs()); }));
  options.noise = {.inputs = 0.5};
  const Tensor symbols = Tensor::zeros({2, 3}, DType::int64);
  CHECK(
      test::throws_with("symbols|noise.inputs|Embedding", [&] { Lstm(options, random)(symbols); }));
}

}  // namespace tapeloop::nn
