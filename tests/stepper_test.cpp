// SPDX-License-Identifier: MIT
// Stepper: one stream step by step, against the same model unrolled.
#include "nn/stepper.h"

#include "examples/custom_cell/my_lstm.h"
#include "support.h"

namespace tapeloop::nn {
namespace {

using test::throws_with;

constexpr std::int64_t kSteps = 7;

// A minimal gate, with h among the formula's arguments and no biases but one.
struct MinimalGate {
  TL_HD auto operator()(auto f, auto n, auto h) const { return h + sigmoid(f) * (tanh(n) - h); }
};
struct MinimalCell {
  using State = nn::State<1>;
  Linear from_x, from_h;
  bool square_input = false;
  MinimalCell(const RecurrentOptions& o, Random& random)
      : from_x(o.input, 2 * o.hidden, random, true, o.dtype),
        from_h(o.hidden, 2 * o.hidden, random, false, o.dtype) {}
  std::array<std::int64_t, 1> state_sizes() const { return {from_h.weight.dim(1)}; }
  Var input(const Var& x) const { return from_x(x); }
  Recurrence recurrence() const { return {MinimalGate{}, from_h.weight}; }
  void visit(Visitor& v) const {
    v("from_x", from_x);
    v("from_h", from_h);
  }
};
struct SquareCell : MinimalCell {
  using MinimalCell::MinimalCell;
  Var input(const Var& x) const { return from_x(square(x)); }
};

template <class C>
void check_steps(const RecurrentOptions& options) {
  Random random(1);
  const Recurrent<C> model(options, random);
  const Linear head(options.hidden, 3, random);
  const Tensor xs = random_normal({kSteps, 1, options.input}, 0, 1, random);
  const Tensor expected = head(model(Var(xs)).ys).value();
  Stepper stepper = make_stepper(model, head);
  REQUIRE(stepper.input_size() == options.input);
  REQUIRE(stepper.output_size() == 3);
  std::vector<float> y(3);
  for (int pass = 0; pass < 2; ++pass) {
    for (std::int64_t t = 0; t < kSteps; ++t) {
      const std::vector<float> x = xs.select(0, t).to_vector<float>();
      REQUIRE(stepper.step(x, y));
      const std::vector<double> wide(y.begin(), y.end());
      CHECK(test::distance(wide, expected.select(0, t).to_vector<double>()) < 2e-6);
    }
    stepper.reset();
  }
}

}  // namespace

TEST_CASE("a stepper gives what the unrolled model gives, for any cell and size") {
  for (const std::int64_t hidden : {1, 2, 15, 17, 40, 63, 65}) {
    CAPTURE(hidden);
    for (const int layers : {1, 2}) {
      const RecurrentOptions options{.input = 5, .hidden = hidden, .layers = layers};
      check_steps<RnnCell>(options);
      check_steps<LstmCell>(options);
      check_steps<GruCell>(options);
      check_steps<MinimalCell>(options);
      check_steps<my::LstmCell>(options);
    }
  }
  check_steps<GruCell>({.input = 1, .hidden = 17, .bias = false});
  check_steps<RnnCell>({.input = 1, .hidden = 9, .nonlinearity = Nonlinearity::relu});
}

TEST_CASE("a stepper's state is saved and put back bit for bit, and later weights do not show") {
  Random random(2);
  const Lstm model({.input = 2, .hidden = 19, .layers = 2}, random);
  Stepper stepper = make_stepper(model);
  REQUIRE(stepper.output_size() == 19);
  REQUIRE(stepper.state_size() == 2 * 2 * 19);
  const std::vector<float> x{0.5f, -1.0f};
  std::vector<float> first(19), again(19), saved(76);
  for (int i = 0; i < 3; ++i) stepper.step(x, first);
  stepper.state(saved);
  stepper.step(x, first);
  for (const NamedVar& p : parameters(model)) p.var.value().fill(0.25);
  stepper.set_state(saved);
  stepper.step(x, again);
  CHECK(first == again);
  CHECK(stepper.bytes() > 4 * 4 * 19 * (2 + 19 + 19 + 19));
}

TEST_CASE("steps take no memory from the pool") {
  Random random(3);
  const Gru model({.input = 1, .hidden = 40}, random);
  const Linear head(40, 1, random);
  Stepper stepper = make_stepper(model, head);
  const memory::Stats before = memory::stats();
  const float x = 0.5f;
  float y = 0;
  for (int i = 0; i < 100; ++i) REQUIRE(stepper.step({&x, 1}, {&y, 1}));
  CHECK(memory::stats().heap_calls == before.heap_calls);
  CHECK(memory::stats().live_bytes == before.live_bytes);
  CHECK(std::isfinite(y));
}

TEST_CASE("what a stepper cannot do is said, with the way out") {
  Random random(4);
  const Lstm projected({.input = 2, .hidden = 6, .projection = 3}, random);
  CHECK(throws_with("stepper|projection|nn::step", [&] { make_stepper(projected); }));
  const Gru both({.input = 2, .hidden = 6, .bidirectional = true}, random);
  CHECK(throws_with("stepper|both directions", [&] { make_stepper(both); }));
  const Recurrent<SquareCell> squared({.input = 2, .hidden = 6}, random);
  CHECK(throws_with("stepper|not an affine map", [&] { make_stepper(squared); }));
  const Lstm wide({.input = 2, .hidden = 6, .dtype = DType::float64}, random);
  CHECK(throws_with("float32", [&] { make_stepper(wide); }));
  const Rnn model({.input = 2, .hidden = 6}, random);
  CHECK(throws_with("stepper|head|float32[3, 6]|float32[3, 5]",
                    [&] { make_stepper(model, Linear(5, 3, random)); }));
  Stepper stepper = make_stepper(model);
  std::vector<float> x(3), y(6);
  CHECK_FALSE(stepper.step(x, y));
  CHECK(throws_with("stepper|5 numbers|state_size() = 6",
                    [&] { stepper.set_state(std::vector<float>(5)); }));
}

}  // namespace tapeloop::nn
