// SPDX-License-Identifier: MIT
// Linear, Embedding, LayerNorm, Dropout, the walk over modules, and initial values of weights.
// Tests of operations check the formulas behind them; reference_test.cpp compares them with
// PyTorch.
#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;

double largest_magnitude(const Var& v) {
  double largest = 0;
  for (double x : v.value().to_vector<double>()) largest = std::max(largest, std::abs(x));
  return largest;
}
double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (double x : values) sum += x;
  return sum / static_cast<double>(values.size());
}
double deviation_of(const std::vector<double>& values) {
  double centre = mean_of(values);
  double sum = 0;
  for (double x : values) sum += (x - centre) * (x - centre);
  return std::sqrt(sum / static_cast<double>(values.size()));
}

template <class F>
void check_gradients(F&& function, const ParameterList& parameters) {
  for (bool second : {false, true}) {
    GradcheckReport report = gradcheck(function, parameters, {.second_order = second});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

// --- layers ---

TEST_CASE("linear starts within 1 / sqrt(in), also its bias, which can be left out") {
  Random random(1);
  Linear layer(25, 30, random);
  CHECK(layer.weight.shape() == Shape{30, 25});
  CHECK(layer.bias.shape() == Shape{30});
  CHECK(largest_magnitude(layer.weight) <= 0.2);
  CHECK(largest_magnitude(layer.weight) > 0.19);
  CHECK(largest_magnitude(layer.bias) <= 0.2);
  CHECK(largest_magnitude(layer.bias) > 0.15);
  Linear bare(25, 30, random, false);
  CHECK_FALSE(bare.bias.defined());
  CHECK(parameters(bare).size() == 1);
  CHECK(parameter_count(layer) == 30 * 25 + 30);
}

TEST_CASE("gradients of linear, embedding and layer_norm are right to second order") {
  Random random(2);
  Linear line(3, 2, random, true, DType::float64);
  Linear bare(3, 2, random, false, DType::float64);
  LayerNorm normal(3, 1e-5, DType::float64);
  init::uniform(normal.weight, 0.5, 1.5, random);
  init::uniform(normal.bias, -1, 1, random);
  Embedding table(4, 3, random, 1, DType::float64);
  Var x = parameter(random_tensor({2, 2, 3}, 3));
  ParameterList list = parameters(line, bare, normal);
  list.push_back({"x", x});
  check_gradients([&] { return std::vector<Var>{line(x), bare(x), normal(x)}; }, list);

  Tensor index = Tensor::from<std::int64_t>({2, 3}, {0, 3, 3, 2, 0, 3});  // without the padding row
  check_gradients([&] { return table(index); }, parameters(table));
}

TEST_CASE("the padding row of an embedding is zero at first and gets no gradient") {
  Random random(4);
  Embedding table(4, 3, random, 2);
  for (double x : table.weight.value().select(0, 2).to_vector<double>()) CHECK(x == 0.0);
  CHECK(largest_magnitude(table.weight) > 0);
  table.weight.value().select(0, 2).fill(5);  // as loaded from a file
  Tensor index = Tensor::from<std::int64_t>({4}, {2, 1, 2, 3});
  Tape tape;
  Var rows = table(index);
  CHECK(rows.value().at({0, 0}) == 5.0);
  Tensor gradient = tape.gradient(sum(rows), {table.weight})[0].value();
  CHECK(gradient.to_vector<double>() == std::vector<double>{0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1});
}

TEST_CASE("an embedding without padding draws from N(0, 1) and sends gradients to every row used") {
  Random random(5);
  Embedding table(100, 100, random);
  std::vector<double> values = table.weight.value().to_vector<double>();
  CHECK(std::abs(mean_of(values)) < 0.04);
  CHECK(std::abs(deviation_of(values) - 1) < 0.03);
  Tape tape;
  Tensor gradient =
      tape.gradient(sum(table(Tensor::from<std::int64_t>({2}, {0, 0}))), {table.weight})[0].value();
  CHECK(gradient.at({0, 7}) == 2.0);
  CHECK(gradient.at({1, 7}) == 0.0);
}

TEST_CASE("layer_norm gives mean 0 and variance 1 before its scale and shift") {
  LayerNorm layer(50);
  CHECK(layer.weight.value().at({3}) == 1.0);
  CHECK(layer.bias.value().at({3}) == 0.0);
  std::vector<double> row =
      layer(random_tensor({1, 50}, 6, DType::float32, 3, 9)).value().to_vector<double>();
  CHECK(std::abs(mean_of(row)) < 1e-6);
  CHECK(std::abs(deviation_of(row) - 1) < 1e-4);
}

TEST_CASE("layers refuse sizes and settings that make no sense, and say which") {
  Random random(7);
  CHECK(test::throws_with("linear|in is 0", [&] { Linear(0, 3, random); }));
  CHECK(test::throws_with("linear|out is -2", [&] { Linear(3, -2, random); }));
  CHECK(test::throws_with("embedding|count is 0", [&] { Embedding(0, 3, random); }));
  CHECK(test::throws_with("embedding|width is 0", [&] { Embedding(3, 0, random); }));
  CHECK(test::throws_with("embedding|padding index 3|0..2", [&] { Embedding(3, 2, random, 3); }));
  CHECK(test::throws_with("layer_norm|features is 0", [&] { LayerNorm(0); }));
  CHECK(test::throws_with("dropout|p is 1|0 <= p < 1", [&] { Dropout(1.0, random); }));
  CHECK(test::throws_with("dropout|p is -0.1", [&] { Dropout(-0.1, random); }));
  CHECK(test::throws_with("dropout|p is nan", [&] { Dropout(NAN, random); }));
  Linear line(3, 2, random);
  CHECK(test::throws_with("linear|[4, 5]|[2, 3]|in = 3", [&] { line(Tensor::zeros({4, 5})); }));
  Embedding table(3, 2, random);
  CHECK(test::throws_with("embedding|index 3 at position 1|0..2", [&] {
    table(Tensor::from<std::int64_t>({2}, {0, 3}));
  }));
  CHECK(test::throws_with("embedding|index -1",
                          [&] { table(Tensor::from<std::int64_t>({1}, {-1})); }));
  CHECK(test::throws_with("int64|float32", [&] { table(Tensor::zeros({1})); }));
  LayerNorm normal(3);
  CHECK(test::throws_with("layer_norm|[2, 4]|[3]", [&] { normal(Tensor::zeros({2, 4})); }));
}

// --- dropout ---

TEST_CASE(
    "dropout zeroes a share p, scales the rest by 1 / (1 - p), and its gradient has the same "
    "mask") {
  Random random(8);
  Dropout drop(0.25, random);
  Var x = parameter(Tensor::full({200, 100}, 3.0, DType::float64));
  Tape tape;
  Var y = drop(x);
  std::vector<double> values = y.value().to_vector<double>();
  std::vector<double> gradient = tape.gradient(sum(y), {x})[0].value().to_vector<double>();
  double zeros = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    bool kept = values[i] != 0.0;
    zeros += kept ? 0 : 1;
    CHECK((!kept || std::abs(values[i] - 4.0) < 1e-15));
    CHECK(std::abs(gradient[i] - (kept ? 4.0 / 3 : 0.0)) < 1e-15);
  }
  CHECK(std::abs(zeros / 20000 - 0.25) < 0.01);  // more than three standard deviations
}

TEST_CASE("dropout without a tape, with recording paused, or with p = 0 changes nothing") {
  Random random(9);
  Dropout drop(0.5, random);
  Var x(random_tensor({10, 10}));
  CHECK(drop(x).is(x));
  Tape tape;
  CHECK_FALSE(test::same_bits(drop(x).value(), x.value()));
  {
    PauseRecording pause;
    CHECK(drop(x).is(x));
  }
  Dropout never(0, random);
  CHECK(never(x).is(x));
}

TEST_CASE(
    "dropout of the same seed draws the same masks, and the type of the input does not matter") {
  auto masks = [](std::uint64_t seed, DType dtype) {
    Random random(seed);
    Dropout drop(0.5, random);
    Var ones(Tensor::full({8, 8}, 1.0, dtype));
    Tape tape;
    std::vector<double> both = drop(ones).value().to_vector<double>();
    std::vector<double> second = drop(ones).value().to_vector<double>();
    CHECK(both != second);
    both.insert(both.end(), second.begin(), second.end());
    return both;
  };
  CHECK(masks(1, DType::float32) == masks(1, DType::float32));
  CHECK(masks(1, DType::float32) == masks(1, DType::float64));
  CHECK(masks(1, DType::float32) != masks(2, DType::float32));
}

// --- modules ---

struct Nested {
  std::vector<Linear> layers;
  Dropout drop;
  explicit Nested(Random& random) : drop(0.5, random) {
    layers.emplace_back(2, 3, random);
    layers.emplace_back(3, 1, random, false);
  }
  void visit(Visitor& v) const {
    v("layers", layers);
    v("drop", drop);
  }
};

TEST_CASE("names join by dots, lists count, and parameters that are not there have no name") {
  Random random(10);
  Nested module(random);
  ParameterList list = parameters(module);
  REQUIRE(list.size() == 3);
  CHECK(list[0].name == "layers.0.weight");
  CHECK(list[1].name == "layers.0.bias");
  CHECK(list[2].name == "layers.1.weight");
  REQUIRE(randoms(module).size() == 1);
  CHECK(randoms(module)[0].first == "drop.random");
}

TEST_CASE("convert changes the type of every parameter and drops the gradients") {
  Random random(11);
  Lstm lstm({.input = 2, .hidden = 2}, random);
  Tensor xs = random_tensor({2, 1, 2}, 12);
  {
    Tape tape;
    tape.backward(sum(lstm(xs.to(DType::float32)).ys));
  }
  Tensor before = parameters(lstm)[0].var.value().clone();
  convert(lstm, DType::float64);
  for (const NamedVar& p : parameters(lstm)) {
    CHECK(p.var.dtype() == DType::float64);
    CHECK_FALSE(p.var.grad().defined());
  }
  CHECK(test::same_bits(parameters(lstm)[0].var.value().to(DType::float32), before));
  CHECK(lstm(xs).ys.dtype() == DType::float64);
}

TEST_CASE("a model's values are put into another by their names, or not at all") {
  Random random(13);
  Linear a(3, 2, random);
  Linear b(3, 2, random);
  load_state_dict(b, state_dict(a));
  CHECK(test::same_bits(a.weight.value(), b.weight.value()));
  a.weight.value().fill(0);  // a copy, not the same memory
  CHECK(largest_magnitude(b.weight) > 0);
  Linear other(4, 2, random);
  CHECK(test::throws_with("weight|float32[2, 3]|float32[2, 4]",
                          [&] { load_state_dict(other, state_dict(b)); }));
}

// --- initial values ---

TEST_CASE("xavier and he draw within their bounds and with their deviations") {
  Random random(14);
  for (DType dtype : {DType::float32, DType::float64}) {
    Var w = parameter(Tensor::zeros({200, 100}, dtype));
    const double glorot = std::sqrt(2.0 / 300);
    const double he = std::sqrt(2.0 / 100);
    auto check = [&](double deviation, double bound) {
      std::vector<double> values = w.value().to_vector<double>();
      CHECK(std::abs(mean_of(values)) < 0.04 * deviation);
      CHECK(std::abs(deviation_of(values) / deviation - 1) < 0.03);
      if (bound > 0) {
        CHECK(largest_magnitude(w) <= bound * (1 + 1e-7));
        CHECK(largest_magnitude(w) > 0.99 * bound);
      }
    };
    init::xavier_uniform(w, random);
    check(glorot, std::sqrt(6.0 / 300));
    init::xavier_uniform(w, random, 2.0);
    check(2 * glorot, 2 * std::sqrt(6.0 / 300));
    init::xavier_normal(w, random, 0.5);
    check(0.5 * glorot, 0);
    init::he_uniform(w, random);
    check(he, std::sqrt(6.0 / 100));
    init::he_normal(w, random);
    check(he, 0);
    init::uniform(w, -3, -1, random);
    CHECK(std::abs(mean_of(w.value().to_vector<double>()) + 2) < 0.02);
    CHECK(largest_magnitude(w) <= 3);
    init::normal(w, 5, 0.1, random);
    CHECK(std::abs(mean_of(w.value().to_vector<double>()) - 5) < 0.01);
    init::constant(w, 0.25);
    CHECK(w.value().at({199, 99}) == 0.25);
    CHECK(w.dtype() == dtype);
  }
}

// The largest |Q Q^T - gain^2 I| for Q's rows, or its columns if there are more rows than columns.
double orthogonality_error(const Tensor& q, double gain) {
  bool tall = q.dim(0) > q.dim(1);
  Tensor rows = (tall ? q.transpose(0, 1) : q).to(DType::float64).contiguous();
  double worst = 0;
  for (std::int64_t i = 0; i < rows.dim(0); ++i) {
    for (std::int64_t j = 0; j < rows.dim(0); ++j) {
      double dot = 0;
      for (std::int64_t k = 0; k < rows.dim(1); ++k) dot += rows.at({i, k}) * rows.at({j, k});
      worst = std::max(worst, std::abs(dot - (i == j ? gain * gain : 0)));
    }
  }
  return worst;
}

TEST_CASE("orthogonal weights are orthogonal: square, wide, tall, and gate by gate") {
  Random random(15);
  for (const Shape& shape : {Shape{6, 6}, Shape{4, 9}, Shape{9, 4}, Shape{1, 1}}) {
    Var w = parameter(Tensor::zeros(shape, DType::float64));
    init::orthogonal(w, random);
    CHECK(orthogonality_error(w.value(), 1) < 1e-14);
    init::orthogonal(w, random, 1.5);
    CHECK(orthogonality_error(w.value(), 1.5) < 1e-14);
  }
  Lstm lstm({.input = 3, .hidden = 5}, random);
  Var recurrent = parameters(lstm)[1].var;
  init::orthogonal(recurrent, random, 1.0, 4);
  for (std::int64_t gate = 0; gate < 4; ++gate) {
    CHECK(orthogonality_error(recurrent.value().slice(0, gate * 5, gate * 5 + 5), 1) <
          1e-6);  // float32
  }
  CHECK_FALSE(test::same_bits(recurrent.value().slice(0, 0, 5), recurrent.value().slice(0, 5, 10)));
}

TEST_CASE("forget_gate_bias adds to the forget gate's part alone") {
  Random random(16);
  Lstm lstm({.input = 3, .hidden = 5}, random);
  Var bias = parameters(lstm)[2].var;
  std::vector<double> before = bias.value().to_vector<double>();
  init::forget_gate_bias(bias, 1.0);
  std::vector<double> after = bias.value().to_vector<double>();
  for (std::size_t i = 0; i < 20; ++i) {
    CHECK(std::abs(after[i] - before[i] - (i >= 5 && i < 10 ? 1.0 : 0.0)) < 1e-6);
  }
}

TEST_CASE("initial values can be drawn while a tape records, and leave no trace on it") {
  Random random(17);
  Tape tape;
  Linear line(3, 3, random);
  init::orthogonal(line.weight, random, 2.0);
  init::he_normal(line.weight, random);
  init::forget_gate_bias(Var(Tensor::zeros({4})), 1.0);
  CHECK(tape.size() == 0);
}

TEST_CASE("initializers refuse shapes they have no meaning for") {
  Random random(18);
  Var vector = parameter(Tensor::zeros({4}));
  Var matrix = parameter(Tensor::zeros({6, 4}));
  CHECK(test::throws_with("xavier_uniform|[out, in]|[4]",
                          [&] { init::xavier_uniform(vector, random); }));
  CHECK(test::throws_with("xavier_normal|[4]", [&] { init::xavier_normal(vector, random); }));
  CHECK(test::throws_with("he_uniform|[4]", [&] { init::he_uniform(vector, random); }));
  CHECK(test::throws_with("he_normal|[4]", [&] { init::he_normal(vector, random); }));
  CHECK(test::throws_with("orthogonal|[4]", [&] { init::orthogonal(vector, random); }));
  CHECK(test::throws_with("orthogonal|6 rows|4 equal blocks",
                          [&] { init::orthogonal(matrix, random, 1, 4); }));
  CHECK(test::throws_with("orthogonal|0 equal blocks",
                          [&] { init::orthogonal(matrix, random, 1, 0); }));
  CHECK(test::throws_with("forget_gate_bias|[4H]|[6, 4]",
                          [&] { init::forget_gate_bias(matrix, 1); }));
  CHECK(test::throws_with("forget_gate_bias|[4H]|[6]",
                          [&] { init::forget_gate_bias(parameter(Tensor::zeros({6})), 1); }));
}

}  // namespace
}  // namespace tapeloop::nn
