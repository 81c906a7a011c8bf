// SPDX-License-Identifier: MIT
// The recurrent cells and unroll(): gradients against finite differences, steps against naive
// loops, user-defined cells.
// reference_test.cpp compares cells with PyTorch, recurrent_test.cpp tests stacks of layers.
#include "tapeloop/nn/nn.h"
#include "tests/nn/cell_sizes.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;

// --- a cell that depends on the state everywhere, and so has no `input` ---
struct ForgetCell {
  using State = nn::State<1>;
  Var w, u, v;
  explicit ForgetCell(Random& random)
      : w(uniform_parameter({kHidden, kInput}, 1, random, DType::float64)),
        u(uniform_parameter({kHidden, kHidden}, 1, random, DType::float64)),
        v(uniform_parameter({kHidden, kInput}, 1, random, DType::float64)) {}
  std::array<std::int64_t, 1> state_sizes() const { return {u.dim(0)}; }
  State step(const Var& x, const State& s) const {
    Var forget = sigmoid(linear(x, w) + linear(s.h(), u));
    return State(forget * s.h() + (1.0 - forget) * tanh(linear(x, v)));
  }
  void visit(Visitor& visitor) const {
    visitor("w", w);
    visitor("u", u);
    visitor("v", v);
  }
};

// --- a cell of three parts of different sizes, with `input` ---
struct AveragesCell {
  // h [N, 3], a fast average [N, 3], a slow average of h's first column [N, 1].
  using State = nn::State<3>;
  Var w, u, r;
  AveragesCell() = default;
  AveragesCell(const RecurrentOptions& o, Random& random)
      : w(uniform_parameter({o.hidden, o.input}, 1, random, o.dtype)),
        u(uniform_parameter({o.hidden, o.hidden}, 1, random, o.dtype)),
        r(uniform_parameter({1}, 1, random, o.dtype)) {}
  std::array<std::int64_t, 3> state_sizes() const { return {u.dim(0), u.dim(0), 1}; }
  Var input(const Var& x) const { return linear(x, w); }
  State step(const Var& zx, const State& s) const {
    auto [h, fast, slow] = s;
    Var next_fast = 0.5 * fast + 0.5 * h;
    Var next_slow = sigmoid(r) * slow + slice(h, 1, 0, 1);
    return State(tanh(linear(next_fast, u, zx) + next_slow), next_fast, next_slow);
  }
  void visit(Visitor& visitor) const {
    visitor("w", w);
    visitor("u", u);
    visitor("r", r);
  }
};
static_assert(Cell<ForgetCell> && !HasInput<ForgetCell>);
static_assert(Cell<AveragesCell> && HasInput<AveragesCell>);
static_assert(Cell<RnnCell> && Cell<LstmCell> && Cell<GruCell> && HasInput<LstmCell>);

template <class F>
void check_gradients(F&& function, const ParameterList& parameters) {
  for (bool second : {false, true}) {
    GradcheckReport report = gradcheck(function, parameters, {.second_order = second});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

template <class C>
typename C::State random_state(const C& cell, std::int64_t n, ParameterList* list = nullptr) {
  typename C::State state;
  for (std::size_t k = 0; k < C::State::parts; ++k) {
    state[k] = parameter(random_tensor({n, cell.state_sizes()[k]}, 50 + k));
    if (list != nullptr) list->push_back({"state " + std::to_string(k), state[k]});
  }
  return state;
}

template <class C>
Var input_of(const C& cell, const Var& x) {
  if constexpr (HasInput<C>) {
    return cell.input(x);
  } else {
    return x;
  }
}

// One step, three steps, and three steps of sequences of different lengths, in both directions.
template <class C>
void check_cell(const C& cell) {
  ParameterList list = parameters(cell);
  Var x = parameter(random_tensor({2, kInput}, 7));
  Var xs = parameter(random_tensor({3, 2, kInput}, 8));
  ParameterList step_list = list;
  step_list.push_back({"x", x});
  typename C::State state = random_state(cell, 2, &step_list);
  SUBCASE("one step") {
    check_gradients([&] { return cell.step(input_of(cell, x), state); }, step_list);
  }
  step_list[list.size()] = {"xs", xs};
  auto outputs = [](auto&& unrolled) {
    std::vector<Var> all{unrolled.ys};
    all.insert(all.end(), unrolled.last.begin(), unrolled.last.end());
    return all;
  };
  SUBCASE("three steps") {
    check_gradients([&] { return outputs(unroll(cell, xs, state)); }, step_list);
  }
  const std::int64_t lengths[] = {1, 3};
  SUBCASE("lengths") {
    check_gradients([&] { return outputs(unroll(cell, xs, state, {.lengths = lengths})); },
                    step_list);
  }
  SUBCASE("lengths, reversed") {
    check_gradients(
        [&] { return outputs(unroll(cell, xs, state, {.reverse = true, .lengths = lengths})); },
        step_list);
  }
}

TEST_CASE("gradients of an RNN cell with tanh are right to second order") {
  Random random(1);
  check_cell(RnnCell(sizes(), random));
}
TEST_CASE("gradients of an RNN cell with relu are right to second order") {
  Random random(2);
  check_cell(RnnCell(sizes(), random, {.nonlinearity = Nonlinearity::relu}));
}
TEST_CASE("gradients of an LSTM cell are right to second order") {
  Random random(3);
  check_cell(LstmCell(sizes(), random));
}
TEST_CASE("gradients of an LSTM cell with projection are right to second order") {
  Random random(4);
  check_cell(LstmCell(sizes(), random, {.projection = 2}));
}
TEST_CASE("gradients of a GRU cell that resets after the product are right to second order") {
  Random random(5);
  check_cell(GruCell(sizes(), random));
}
TEST_CASE("gradients of a GRU cell that resets before the product are right to second order") {
  Random random(6);
  check_cell(GruCell(sizes(), random, {.reset = GruReset::before}));
}
TEST_CASE("gradients of a user's cell without input() are right to second order") {
  Random random(7);
  check_cell(ForgetCell(random));
}
TEST_CASE(
    "gradients of a user's cell with input() and three parts of state are right to second order") {
  Random random(8);
  check_cell(AveragesCell(sizes(), random));
}

// --- steps against naive loops ---

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// row r of W [rows, columns] times x, plus b[r]
double affine(const Var& w, const Var& b, std::int64_t row, const std::vector<double>& x) {
  double sum = b.defined() ? b.value().at({row}) : 0;
  for (std::size_t j = 0; j < x.size(); ++j)
    sum += w.value().at({row, static_cast<std::int64_t>(j)}) * x[j];
  return sum;
}

// The GRU of Cho et al. v3, or v1, for one sequence: from the papers' formulas, without code of the
// library's gates.
std::vector<double> naive_gru(const GruCell& cell, const std::vector<double>& x,
                              const std::vector<double>& h) {
  const std::int64_t size = static_cast<std::int64_t>(h.size());
  auto from_input = [&](std::int64_t gate, std::int64_t i) {
    return affine(cell.w.weight_ih, cell.w.bias_ih, gate * size + i, x);
  };
  auto from_state = [&](std::int64_t gate, std::int64_t i, const std::vector<double>& state) {
    return affine(cell.w.weight_hh, cell.w.bias_hh, gate * size + i, state);
  };
  std::vector<double> r, z, rh, next;
  for (std::int64_t i = 0; i < size; ++i) {
    r.push_back(logistic(from_input(0, i) + from_state(0, i, h)));
    z.push_back(logistic(from_input(1, i) + from_state(1, i, h)));
    rh.push_back(r.back() * h[static_cast<std::size_t>(i)]);
  }
  for (std::int64_t i = 0; i < size; ++i) {
    const std::size_t k = static_cast<std::size_t>(i);
    double n = cell.reset == GruReset::before
                   ? std::tanh(from_input(2, i) + from_state(2, i, rh))
                   : std::tanh(from_input(2, i) + r[k] * from_state(2, i, h));
    next.push_back((1 - z[k]) * n + z[k] * h[k]);
  }
  return next;
}

TEST_CASE(
    "a GRU equals a naive loop, whether it resets before or after the product, with biases and "
    "without") {
  for (GruReset reset : {GruReset::before, GruReset::after}) {
    for (bool bias : {true, false}) {
      Random random(9);
      RecurrentOptions options = sizes();
      options.bias = bias;
      GruCell cell(options, random, {.reset = reset});
      Tensor xs = random_tensor({4, 2, kInput}, 11);
      Tensor start = random_tensor({2, kHidden}, 12);
      auto [ys, last] = unroll(cell, xs, State<1>(Var(start)));
      for (std::int64_t n = 0; n < 2; ++n) {
        std::vector<double> h = start.select(0, n).to_vector<double>();
        for (std::int64_t t = 0; t < 4; ++t) {
          h = naive_gru(cell, xs.select(0, t).select(0, n).to_vector<double>(), h);
          CHECK(test::distance(ys.value().select(0, t).select(0, n).to_vector<double>(), h) <
                1e-14);
        }
        CHECK(test::distance(last.h().value().select(0, n).to_vector<double>(), h) < 1e-14);
      }
    }
  }
}

TEST_CASE("an LSTM with projection equals a naive loop") {
  Random random(10);
  LstmCell cell(sizes(), random, {.projection = 2});
  std::vector<double> x = test::random_values(kInput, -1, 1, 1);
  std::vector<double> h = test::random_values(2, -1, 1, 2);
  std::vector<double> c = test::random_values(kHidden, -1, 1, 3);
  auto as_row = [](const std::vector<double>& v) {
    return Var(Tensor::from({1, static_cast<std::int64_t>(v.size())}, v));
  };
  auto next = cell.step(cell.input(as_row(x)), State<2>(as_row(h), as_row(c)));
  auto gate = [&](std::int64_t g, std::int64_t i) {
    std::int64_t row = g * kHidden + i;
    return affine(cell.w.weight_ih, cell.w.bias_ih, row, x) +
           affine(cell.w.weight_hh, cell.w.bias_hh, row, h);
  };
  std::vector<double> cell_state, gated, projected;
  for (std::int64_t i = 0; i < kHidden; ++i) {
    cell_state.push_back(logistic(gate(1, i)) * c[static_cast<std::size_t>(i)] +
                         logistic(gate(0, i)) * std::tanh(gate(2, i)));
    gated.push_back(logistic(gate(3, i)) * std::tanh(cell_state.back()));
  }
  for (std::int64_t i = 0; i < 2; ++i) projected.push_back(affine(cell.weight_hr, Var(), i, gated));
  CHECK(test::distance(next[1].value().to_vector<double>(), cell_state) < 1e-14);
  CHECK(test::distance(next.h().value().to_vector<double>(), projected) < 1e-14);
}

// --- unroll ---

template <class C>
void check_hoisting(const C& cell) {
  Tensor xs = random_tensor({5, 3, kInput}, 13);
  auto [ys, last] = unroll(cell, xs);
  typename C::State state;
  for (std::size_t k = 0; k < C::State::parts; ++k)
    state[k] = Tensor::zeros({3, cell.state_sizes()[k]}, DType::float64);
  for (std::int64_t t = 0; t < 5; ++t) {
    state = cell.step(input_of(cell, xs.select(0, t)), state);
    CHECK(test::distance(ys.value().select(0, t), state.h().value()) < 1e-15);
  }
  for (std::size_t k = 0; k < C::State::parts; ++k)
    CHECK(test::distance(last[k].value(), state[k].value()) < 1e-15);
}

TEST_CASE("unroll, which projects the inputs of all steps at once, equals one step at a time") {
  Random random(14);
  check_hoisting(RnnCell(sizes(), random));
  check_hoisting(LstmCell(sizes(), random));
  check_hoisting(LstmCell(sizes(), random, {.projection = 1}));
  check_hoisting(GruCell(sizes(), random));
  check_hoisting(GruCell(sizes(), random, {.reset = GruReset::before}));
  check_hoisting(ForgetCell(random));
  check_hoisting(AveragesCell(sizes(), random));
}

TEST_CASE(
    "unroll in reverse is unroll of the reversed sequence, its outputs aligned to the input") {
  Random random(15);
  AveragesCell cell(sizes(), random);
  Var xs(random_tensor({4, 2, kInput}, 16));
  auto [reversed, last] = unroll(cell, xs, {}, {.reverse = true});
  auto [expected, expected_last] = unroll(cell, flip(xs, 0));
  CHECK(test::same_bits(reversed.value(), flip(expected, 0).value()));
  for (std::size_t k = 0; k < 3; ++k)
    CHECK(test::same_bits(last[k].value(), expected_last[k].value()));
}

TEST_CASE("one sequence, one hidden unit and one step are no special cases") {
  for (std::int64_t n : {1, 2}) {
    for (std::int64_t steps : {1, 2}) {
      Random random(17);
      RecurrentOptions options{.input = 1, .hidden = 1, .dtype = DType::float64};
      auto check = [&](const auto& cell) {
        Var xs = parameter(random_tensor({steps, n, 1}, 18));
        ParameterList list = parameters(cell);
        list.push_back({"xs", xs});
        check_gradients([&] { return unroll(cell, xs).ys; }, list);
      };
      check(RnnCell(options, random));
      check(LstmCell(options, random));
      check(GruCell(options, random));
      check(GruCell(options, random, {.reset = GruReset::before}));
    }
  }
}

TEST_CASE("no steps give no outputs and leave the state as it was") {
  Random random(19);
  LstmCell cell(sizes(), random);
  State<2> start = random_state(cell, 2);
  auto [ys, last] = unroll(cell, Tensor::zeros({0, 2, kInput}, DType::float64), start);
  CHECK(ys.shape() == Shape{0, 2, kHidden});
  CHECK(test::same_bits(last[0].value(), start[0].value()));
  CHECK(test::same_bits(last[1].value(), start[1].value()));
  auto [empty, zeros] = unroll(cell, Tensor::zeros({0, 2, kInput}, DType::float64));
  CHECK(test::same_bits(zeros[1].value(), Tensor::zeros({2, kHidden}, DType::float64)));
}

TEST_CASE("an empty batch gives empty outputs") {
  Random random(20);
  GruCell cell(sizes(), random);
  auto [ys, last] = unroll(cell, Tensor::zeros({3, 0, kInput}, DType::float64));
  CHECK(ys.shape() == Shape{3, 0, kHidden});
  CHECK(last.h().shape() == Shape{0, kHidden});
}

TEST_CASE("a state of which one part is given starts the others from zero") {
  Random random(21);
  LstmCell cell(sizes(), random);
  Var xs(random_tensor({2, 2, kInput}, 22));
  State<2> only_c;
  only_c[1] = random_tensor({2, kHidden}, 23);
  auto [ys, last] = unroll(cell, xs, only_c);
  auto [expected, expected_last] =
      unroll(cell, xs, State<2>(Var(Tensor::zeros({2, kHidden}, DType::float64)), only_c[1]));
  CHECK(test::same_bits(ys.value(), expected.value()));
  CHECK_FALSE(only_c.detach()[0].defined());
  CHECK(only_c.detach()[1].defined());
}

}  // namespace

TEST_CASE("an empty batch and a sequence without steps give zero gradients") {
  Random random(1);
  const Lstm lstm({.input = 3, .hidden = 4, .layers = 2}, random);
  const Gru gru({.input = 3, .hidden = 4, .bidirectional = true}, random);
  const auto check = [](const auto& model, const Shape& shape) {
    CAPTURE(shape.str());
    Tape tape;
    tape.backward(sum(model(Var(Tensor::zeros(shape))).ys));
    for (const NamedVar& weight : parameters(model)) {
      CAPTURE(weight.name);
      REQUIRE(weight.var.grad().defined());
      CHECK(weight.var.grad().value().to_vector<double>() ==
            std::vector<double>(static_cast<std::size_t>(weight.var.numel()), 0.0));
    }
  };
  for (const Shape& shape : {Shape{5, 0, 3}, Shape{0, 2, 3}}) {
    check(lstm, shape);
    check(gru, shape);
  }
}

}  // namespace tapeloop::nn
