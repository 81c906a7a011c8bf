// SPDX-License-Identifier: MIT
// Stepper: one stream step by step, against the same model unrolled.
#include "tapeloop/nn/recurrent/stepper.h"

#include "examples/custom_cell/my_lstm.h"
#include "tests/support.h"

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
  Linear input_projection() const { return from_x; }
  Recurrence recurrence() const {
    return {MinimalGate{}, of::input() + of::product(from_h.weight), of::state(0)};
  }
  void visit(Visitor& v) const {
    v("from_x", from_x);
    v("from_h", from_h);
  }
};
struct SquareCell : MinimalCell {
  using MinimalCell::MinimalCell;
  Var input(const Var& x) const { return from_x(square(x)); }
};

// The bfloat16 nearest to x, found by comparing both neighbours.
float nearest_bfloat16(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x) & 0xffff0000u;
  const float low = __builtin_bit_cast(float, bits);
  const float high = __builtin_bit_cast(float, bits + 0x10000u);
  const double to_low = std::abs(static_cast<double>(x) - low);
  const double to_high = std::abs(static_cast<double>(high) - x);
  if (to_low == to_high) return (bits & 0x10000u) == 0 ? low : high;
  return to_low < to_high ? low : high;
}

// Rounds matrices and leaves biases unchanged.
void round_matrices(const ParameterList& list) {
  for (const NamedVar& p : list) {
    if (p.var.rank() != 2) continue;
    std::vector<float> values = p.var.value().to_vector<float>();
    for (float& x : values) x = nearest_bfloat16(x);
    p.var.value().copy_from(Tensor::from(p.var.shape(), values));
  }
}

// For both weight formats the oracle is the unrolled model in float64 with the weights that the
// stepper really uses. So the only difference is the rounding of float32 sums.
template <class C>
void check_steps(const RecurrentOptions& options, Weights weights, const OptionsOf<C>& own = {}) {
  Random random(1);
  const Recurrent<C> model(options, random, own);
  const Linear head(model.output_size(), 3, random);
  const Tensor xs = random_normal({kSteps, 1, options.input}, 0, 1, random);
  Stepper stepper = make_stepper(model, head, {.weights = weights});
  REQUIRE(stepper.weights() == weights);
  if (weights == Weights::bfloat16) {
    round_matrices(parameters(model));
    round_matrices(parameters(head));
  }
  convert(model, DType::float64);
  convert(head, DType::float64);
  const Tensor expected = head(model(Var(xs.to(DType::float64))).ys).value();
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

TEST_CASE("a stepper gives what the unrolled model gives, for any cell, size and kind of weights") {
  for (const Weights weights : {Weights::float32, Weights::bfloat16}) {
    CAPTURE(weights);
    for (const std::int64_t hidden : {1, 2, 15, 17, 40, 63, 65}) {
      CAPTURE(hidden);
      for (const int layers : {1, 2}) {
        const RecurrentOptions options{.input = 5, .hidden = hidden, .layers = layers};
        check_steps<RnnCell>(options, weights);
        check_steps<LstmCell>(options, weights);
        check_steps<GruCell>(options, weights);
        check_steps<MinimalCell>(options, weights);
        check_steps<my::LstmCell>(options, weights);
      }
    }
    check_steps<GruCell>({.input = 1, .hidden = 17, .bias = false}, weights);
    for (const std::int64_t hidden : {2, 17, 40}) {
      const RecurrentOptions options{.input = 5, .hidden = hidden, .layers = 2};
      check_steps<GruCell>(options, weights, {.reset = GruReset::before});
      check_steps<LstmCell>(options, weights, {.projection = 1});
    }
    check_steps<RnnCell>({.input = 1, .hidden = 9}, weights, {.nonlinearity = Nonlinearity::relu});
  }
}

TEST_CASE("bfloat16 weights take half the memory and change the outputs by their rounding") {
  Random random(5);
  const Lstm model({.input = 3, .hidden = 64}, random);
  Stepper full = make_stepper(model);
  Stepper half = make_stepper(model, {}, {.weights = Weights::bfloat16});
  const std::vector<float> x{0.5f, -1.0f, 2.0f};
  std::vector<float> y(64), rounded(64);
  float most = 0;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(full.step(x, y));
    REQUIRE(half.step(x, rounded));
    for (std::size_t j = 0; j < y.size(); ++j) most = std::max(most, std::abs(y[j] - rounded[j]));
  }
  CHECK(most > 0);
  CHECK(most < 1.0f / 256);  // each weight is off by at most half of that, in either direction
  CHECK(half.bytes() < full.bytes() * 6 / 10);
}

TEST_CASE("a stepper's state is saved and put back bit for bit, and later weights do not show") {
  for (const Weights weights : {Weights::float32, Weights::bfloat16}) {
    Random random(2);
    const Lstm model({.input = 2, .hidden = 19, .layers = 2}, random);
    Stepper stepper = make_stepper(model, {}, {.weights = weights});
    REQUIRE(stepper.output_size() == 19);
    REQUIRE(stepper.state_size() == 2 * 2 * 19);
    const std::vector<float> x{0.5f, -1.0f};
    std::vector<float> first(19), again(19), saved(76);
    for (int i = 0; i < 3; ++i) REQUIRE(stepper.step(x, first));
    stepper.state(saved);
    REQUIRE(stepper.step(x, first));
    for (const NamedVar& p : parameters(model)) p.var.value().fill(0.25);
    stepper.set_state(saved);
    REQUIRE(stepper.step(x, again));
    CHECK(first == again);
    // After an odd and an even number of steps: the stepper reads weights from either end.
    stepper.set_state(saved);
    REQUIRE(stepper.step(x, again));
    CHECK(first == again);
    CHECK(stepper.bytes() > (weights == Weights::float32 ? 4 : 2) * 4 * 19 * (2 + 19 + 19 + 19));
  }
}

TEST_CASE("steps take no memory from the pool") {
  Random random(3);
  const Gru model({.input = 1, .hidden = 40}, random);
  const Linear head(40, 1, random);
  for (const Weights weights : {Weights::float32, Weights::bfloat16}) {
    Stepper stepper = make_stepper(model, head, {.weights = weights});
    const memory::Stats before = memory::stats();
    const float x = 0.5f;
    float y = 0;
    for (int i = 0; i < 100; ++i) REQUIRE(stepper.step({&x, 1}, {&y, 1}));
    CHECK(memory::stats().heap_calls == before.heap_calls);
    CHECK(memory::stats().live_bytes == before.live_bytes);
    CHECK(std::isfinite(y));
  }
}

static std::size_t parts_of(const Recurrence& r) { return static_cast<std::size_t>(r.parts()); }

TEST_CASE("layers that do not fit are refused before any work") {
  const auto zeros = [](const Shape& shape) { return Tensor::zeros(shape); };
  const auto make = [&](const Recurrence& r, const Tensor& w_in, const Tensor& b_in,
                        const Tensor& head = {}, const Tensor& head_bias = {}) {
    const StepperLayer layers[] = {{r, w_in, b_in, PoolVector<std::int64_t>(parts_of(r), 8)}};
    Stepper stepper(layers, head, head_bias);
  };
  const auto lstm_of = [](const Var& weight) {
    return Recurrence(LstmGates{}, of::input() + of::product(weight), of::state(1));
  };
  const Var w(zeros({32, 8}));
  const Recurrence lstm = lstm_of(w);
  const Tensor w_in = zeros({32, 3}), b = zeros({32});
  CHECK_NOTHROW(make(lstm, w_in, b));
  CHECK(throws_with("lstm_gates|takes 5 arguments (i f g o c)|33 from a product", [&] {
    make(lstm_of(Var(zeros({33, 8}))), zeros({33, 3}), zeros({33}));
  }));
  CHECK(throws_with("the input zx has 32 columns, expected 33", [&] {
    make(lstm_of(Var(zeros({33, 8}))), w_in, b);
  }));
  CHECK(throws_with("weight|[0, 0]", [&] { make(lstm_of(Var(zeros({0, 0}))), w_in, b); }));
  CHECK(throws_with("weight|undefined", [&] { make(lstm_of(Var()), w_in, b); }));
  CHECK(throws_with("stepper|[32, 0]|at least one input", [&] { make(lstm, zeros({32, 0}), b); }));
  CHECK(throws_with("stepper|bias|[31]", [&] { make(lstm, w_in, zeros({31})); }));
  CHECK(throws_with("stepper|at least one output", [&] { make(lstm, w_in, b, zeros({0, 8})); }));
  CHECK(throws_with("stepper|the head has a bias, but no weight",
                    [&] { make(lstm, w_in, b, {}, zeros({2})); }));
  const Var gru_w(zeros({24, 8}));
  for (const std::int64_t size : {3, 25, 9600}) {
    CHECK(throws_with("bias of a product|[" + std::to_string(size) + "]", [&] {
      make(Recurrence(GruGates{}, of::input(), of::product(gru_w, of::state(0), Var(zeros({size}))),
                      of::state(0)),
           zeros({24, 3}), zeros({24}));
    }));
  }
}

TEST_CASE("what a stepper cannot do is said, with the way out") {
  Random random(4);
  const Gru both({.input = 2, .hidden = 6, .bidirectional = true}, random);
  CHECK(throws_with("stepper|both directions", [&] { make_stepper(both); }));
  const Recurrent<SquareCell> squared({.input = 2, .hidden = 6}, random);
  CHECK(throws_with("stepper|not an affine map", [&] { make_stepper(squared); }));
  const Lstm wide({.input = 2, .hidden = 6, .dtype = DType::float64}, random);
  CHECK(throws_with("stepper|float64|nn::convert", [&] { make_stepper(wide); }));
  const Rnn model({.input = 2, .hidden = 6}, random);
  CHECK(throws_with("stepper|head|float32[3, 6]|float32[3, 5]",
                    [&] { make_stepper(model, Linear(5, 3, random)); }));
  CHECK(throws_with("stepper|options.weights is 7|Weights::bfloat16",
                    [&] { make_stepper(model, {}, {.weights = static_cast<Weights>(7)}); }));
  CHECK(throws_with("float32", [&] { make_stepper(wide, {}, {.weights = Weights::bfloat16}); }));
  Stepper stepper = make_stepper(model);
  std::vector<float> x(3), y(6);
  CHECK_FALSE(stepper.step(x, y));
  CHECK(stepper.error() == StepError::input_size);
  CHECK(std::string(text_of(stepper.error())) == "x has another size; give input_size() numbers");
  CHECK_FALSE(stepper.step(std::span<const float>(x).first(2), std::span<float>(y).first(5)));
  CHECK(stepper.error() == StepError::output_size);
  CHECK(stepper.step(std::span<const float>(x).first(2), y));
  CHECK(stepper.error() == StepError::none);
  Stepper other = std::move(stepper);
  CHECK_FALSE(stepper.step(x, y));  // NOLINT(bugprone-use-after-move): it then refuses steps
  CHECK(stepper.error() == StepError::no_layers);
  stepper = std::move(other);
  CHECK(throws_with("stepper|5 numbers|state_size() = 6",
                    [&] { stepper.set_state(std::vector<float>(5)); }));
}

TEST_CASE("a NaN in the input stays in the state until reset(), and state_is_finite() tells") {
  Random random(4);
  const Lstm model({.input = 3, .hidden = 5, .layers = 2}, random);
  Stepper stepper = make_stepper(model);
  const std::vector<float> good = {0.5f, -1.0f, 2.0f};
  std::vector<float> bad = good, y(5), expected(5);
  CHECK(stepper.step(good, expected));
  CHECK(stepper.state_is_finite());
  bad[1] = NAN;
  CHECK(stepper.step(bad, y));
  CHECK(stepper.bad_input() == -1);  // the stepper does not check inputs
  CHECK_FALSE(stepper.state_is_finite());
  CHECK(stepper.step(good, y));
  CHECK(std::isnan(y[0]));
  CHECK_FALSE(stepper.state_is_finite());
  stepper.reset();
  CHECK(stepper.state_is_finite());
  CHECK(stepper.step(good, y));
  CHECK(y == expected);
  // Only another part of the state, not h.
  std::vector<float> state(static_cast<std::size_t>(stepper.state_size()));
  for (std::size_t i = 0; i < state.size(); ++i) {
    state.assign(state.size(), 0.0f);
    state[i] = INFINITY;
    stepper.set_state(state);
    CHECK_FALSE(stepper.state_is_finite());
  }
}

TEST_CASE("a stepper that checks its inputs refuses NaN and infinity, and nothing changes") {
  Random random(4);
  const Lstm model({.input = 3, .hidden = 5}, random);
  const Linear head(5, 2, random);
  Stepper plain = make_stepper(model, head);
  Stepper checked = make_stepper(model, head, {.check_inputs = true});
  const std::vector<float> good = {0.5f, -1.0f, 2.0f};
  std::vector<float> expected(2), y(2);
  for (const float value : {NAN, INFINITY, -INFINITY}) {
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(plain.step(good, expected));
      CHECK(checked.step(good, y));
      CHECK(checked.bad_input() == -1);
      CHECK(y == expected);
      std::vector<float> bad = good;
      bad[i] = value;
      CHECK_FALSE(checked.step(bad, y));
      CHECK(checked.bad_input() == static_cast<std::int64_t>(i));
      CHECK(checked.error() == StepError::not_finite);
      CHECK(y == expected);
      CHECK(checked.state_is_finite());
      // A step that is refused for its size has no bad element.
      CHECK_FALSE(checked.step(std::span<const float>(good).first(2), y));
      CHECK(checked.bad_input() == -1);
    }
  }
}

}  // namespace tapeloop::nn
