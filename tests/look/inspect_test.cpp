// SPDX-License-Identifier: MIT
// Looking inside a training step: norms of the state's gradients against a graph unrolled by hand,
// and formulas written out.
#include <doctest/doctest.h>

#include <cmath>

#include "tapeloop/autograd/look/inspect.h"
#include "tapeloop/autograd/ops/formula.h"
#include "tapeloop/nn/nn.h"
#include "tests/look/stacks.h"
#include "tests/sequence/minimal_cell.h"

using namespace tapeloop;
using test::inputs, test::stack;

namespace {

// A user's recurrence whose formula also takes h.
struct OwnGates {
  static constexpr const char* name = "own_gates";
  static constexpr const char* arguments = "update candidate h";
  TL_HD auto operator()(auto u, auto n, auto h) const { return h + sigmoid(u) * (tanh(n) - h); }
};
using OwnCell = test::CellOf<OwnGates>;
// A cell whose step consists of single operations.
struct StepCell {
  using State = nn::State<1>;
  nn::Linear from_x, from_h;
  StepCell(const nn::RecurrentOptions& o, Random& random)
      : from_x(o.input, o.hidden, random, true, o.dtype),
        from_h(o.hidden, o.hidden, random, false, o.dtype) {}
  std::array<std::int64_t, 1> state_sizes() const { return {from_h.weight.dim(1)}; }
  State step(const Var& x, const State& s) const { return State(tanh(from_x(x) + from_h(s.h()))); }
  void visit(nn::Visitor& v) const { v("from_x", from_x), v("from_h", from_h); }
};

// A cell that lists the time steps in which it runs.
struct ListingCell : StepCell {
  std::vector<std::int64_t>* times = nullptr;
  using StepCell::StepCell;
  State step(const Var& x, const State& s) const {
    times->push_back(TimeStep::now());
    return StepCell::step(x, s);
  }
};

double norm_of(const Var& x) {
  double sum = 0;
  for (const double v : x.value().to_vector<double>()) sum += v * v;
  return std::sqrt(sum);
}

// |dL/dh_t| of one layer, by a graph of single steps that keeps every h.
template <class C>
std::vector<double> by_hand(const C& cell, const Var& xs, const Tensor& weights, bool reverse) {
  Tape tape;
  std::vector<Var> hs(static_cast<std::size_t>(xs.dim(0)));
  typename C::State state;
  for (std::size_t k = 0; k < state.parts; ++k) {
    state[k] = Var(Tensor::zeros({xs.dim(1), cell.state_sizes()[k]}, xs.dtype()));
  }
  Var loss;
  for (std::int64_t i = 0; i < xs.dim(0); ++i) {
    const std::int64_t t = reverse ? xs.dim(0) - 1 - i : i;
    Var x = select_index(xs, 0, t);
    if constexpr (nn::HasInput<C>) x = cell.input(x);
    state = nn::step(cell, x, state);
    hs[static_cast<std::size_t>(t)] = state.h();
    const Var part = sum(state.h() * Var(weights.select(0, t)));
    loss = loss.defined() ? loss + part : part;
  }
  std::vector<double> result;
  for (const Var& dh : tape.gradient(loss, hs)) result.push_back(norm_of(dh));
  return result;
}

template <class C>
void check_norms(bool reverse, bool create_graph, nn::Recompute recompute = {}) {
  const auto model = stack<C>(1, reverse, recompute);
  const C& cell = model.cells().back();
  const Var xs = inputs(7, 2);
  Random random(9);
  const Tensor weights = random_normal({7, 2, 5}, 0, 1, random, DType::float64);
  const std::vector<double> expected = by_hand(cell, xs, weights, reverse);
  Tape tape({.state_gradients = true});
  const auto [ys, last] = nn::unroll(cell, xs, {}, {.reverse = reverse, .recompute = recompute});
  tape.backward(sum(ys * Var(weights)), {.create_graph = create_graph});
  const std::vector<StateGradient> rows = tape.state_gradients();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].reverse == reverse);
  REQUIRE(rows[0].norms.size() == 7);
  for (std::size_t t = 0; t < 7; ++t) {
    CHECK(rows[0].norms[t] == doctest::Approx(expected[t]).epsilon(1e-12));
  }
}

}  // namespace

TEST_CASE("norms of the state's gradients are those of a graph unrolled by hand") {
  for (const bool reverse : {false, true}) {
    for (const bool create_graph : {false, true}) {
      CAPTURE(reverse);
      CAPTURE(create_graph);
      check_norms<nn::RnnCell>(reverse, create_graph);
      check_norms<nn::LstmCell>(reverse, create_graph);
      check_norms<nn::GruCell>(reverse, create_graph);
      check_norms<OwnCell>(reverse, create_graph);
      check_norms<StepCell>(reverse, create_graph);
    }
  }
}

TEST_CASE("norms of the state's gradients are the same with recomputed segments") {
  for (const bool reverse : {false, true}) {
    check_norms<nn::LstmCell>(reverse, false, {.steps = 3});
    check_norms<OwnCell>(reverse, false, {.steps = 2});
    check_norms<StepCell>(reverse, false, {.steps = 3});
  }
}

TEST_CASE("a step knows its time step in the whole sequence, also when its segment runs again") {
  Random random(3);
  ListingCell cell({.input = 3, .hidden = 5, .dtype = DType::float64}, random);
  std::vector<std::int64_t> times;
  cell.times = &times;
  using Times = std::vector<std::int64_t>;
  for (const bool reverse : {false, true}) {
    for (const bool inspects : {false, true}) {
      times.clear();
      Tape tape({.state_gradients = inspects});
      const Var ys =
          nn::unroll(cell, inputs(5, 2), {}, {.reverse = reverse, .recompute = {.steps = 2}}).ys;
      CHECK(times == (reverse ? Times{4, 3, 2, 1, 0} : Times{0, 1, 2, 3, 4}));
      times.clear();
      tape.backward(sum(ys));
      // The segment of a single step is the one that is played last.
      CHECK(times == (reverse ? Times{1, 0, 3, 2, 4} : Times{3, 4, 1, 2, 0}));
      CHECK(TimeStep::now() == -1);
    }
  }
}

TEST_CASE("each layer and direction has its row, and rows past a sequence's end count nothing") {
  const auto model = stack<nn::LstmCell>(2, true);
  const std::int64_t lengths[] = {4, 2};
  Tape tape({.state_gradients = true});
  const auto [ys, last] = model(inputs(4, 2), {}, lengths);
  // The loss uses only the second sequence, which ends after two steps.
  tape.backward(sum(select_index(ys, 1, 1)));
  const auto rows = tape.state_gradients();
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].scope == "l0");
  CHECK(rows[1].scope == "l0_reverse");
  CHECK(rows[3].scope == "l1_reverse");
  for (const StateGradient& row : rows) {
    CHECK(row.norms[0] > 0);
    CHECK(row.norms[1] > 0);
    CHECK(row.norms[2] == 0);
    CHECK(row.norms[3] == 0);
  }
  CHECK_THROWS_WITH(Tape().state_gradients(),
                    "state_gradients: this tape keeps no gradients of states; make it by Tape "
                    "tape({.state_gradients = true})");
}

TEST_CASE("looking inside changes no bit of a gradient") {
  const auto run = [](const auto& model, const TapeOptions& options) {
    for (const NamedVar& p : nn::parameters(model)) p.var.zero_grad();
    Tape tape(options);
    tape.backward(sum(square(model(inputs(6, 3)).ys)));
    std::vector<double> all;
    for (const NamedVar& p : nn::parameters(model)) {
      const auto values = p.var.grad().value().template to_vector<double>();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  };
  const auto lstm = stack<nn::LstmCell>(2);
  CHECK(run(lstm, {}) == run(lstm, {.state_gradients = true}));
  CHECK(run(lstm, {}) == run(lstm, {.check_finite = true}));
  const auto own = stack<StepCell>(2, true);
  CHECK(run(own, {}) == run(own, {.state_gradients = true, .check_finite = true}));
}

// --- the first NaN or infinity ---

TEST_CASE("a formula is written out as its functor has it") {
  CHECK(Formula(nn::LstmGates{}).str() ==
        "h = sigmoid(o) * tanh(sigmoid(f) * c + sigmoid(i) * tanh(g))\n"
        "c = sigmoid(f) * c + sigmoid(i) * tanh(g)\n");
  CHECK(Formula(nn::ElmanRelu{}).str() == "h = select(z <= 0, 0, z)\n");
  CHECK(Formula(formula::Elu{}).str() ==
        "h = select(0 < a0, a0, 1 * (exp(select(0 < a0, 0, a0)) - 1))\n");
}

TEST_CASE("the parts of a formula have the values that the formula calculates with") {
  Random random(4);
  std::vector<Var> x;
  for (int i = 0; i < 7; ++i) x.emplace_back(random_normal({3, 5}, 0, 1, random, DType::float64));
  const Formula formula(nn::GruGates{});
  const std::vector<Tensor> values = formula.evaluate(x);
  const Var whole = pointwise(nn::GruGates{}, x[0], x[1], x[2], x[3], x[4], x[5], x[6]);
  const auto expected = whole.value().to_vector<double>();
  const auto found = values[static_cast<std::size_t>(formula.result_part(0))].to_vector<double>();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-14));
  }
  bool reset = false;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (formula.parts()[i].text != "sigmoid(xr + hr)") continue;
    reset = true;
    CHECK(values[i].at({1, 2}) ==
          doctest::Approx(1 / (1 + std::exp(-x[0].value().at({1, 2}) - x[3].value().at({1, 2})))));
  }
  CHECK(reset);
}
