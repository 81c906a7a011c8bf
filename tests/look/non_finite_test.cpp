// SPDX-License-Identifier: MIT
// The search for the first value that is not finite: NaNs and infinities that the test planted.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tapeloop/autograd/look/inspect.h"
#include "tapeloop/nn/nn.h"
#include "tests/look/stacks.h"

using namespace tapeloop;
using test::inputs, test::stack;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class M>
NonFinitePlace search(const M& model, const Var& xs, double factor = 1) {
  return nn::find_non_finite(model, [&] { return sum(model(xs).ys) * factor; });
}

}  // namespace

TEST_CASE("a finite step is found finite, and adds nothing to gradients") {
  const auto model = stack<nn::LstmCell>(2, true);
  const NonFinitePlace found = search(model, inputs(4, 2));
  CHECK_FALSE(found);
  CHECK(found.str().empty());
  for (const NamedVar& p : nn::parameters(model)) CHECK_FALSE(p.var.grad().defined());
}

TEST_CASE("a parameter that holds a NaN is named") {
  const auto model = stack<nn::LstmCell>(2);
  const Tensor w = model.cells()[1].w.weight_hh.value();
  w.select(0, 7).select(0, 2).fill(NAN);
  const NonFinitePlace found = search(model, inputs(4, 2));
  REQUIRE(found);
  CHECK(found.pass == NonFinitePlace::Pass::forward);
  CHECK(found.scope == "l1");
  CHECK(found.parameter == "weight_hh_l1");
  CHECK(found.element == std::vector<std::int64_t>{7, 2});
  CHECK(found.str().find("An earlier update wrote it") != std::string::npos);
}

TEST_CASE("data that is not finite is told from what was calculated") {
  const auto model = stack<nn::GruCell>(1);
  const Var xs = inputs(4, 2);
  xs.value().select(0, 2).select(0, 1).fill(NAN);
  const NonFinitePlace found = search(model, xs);
  REQUIRE(found);
  CHECK(found.operation == "linear");
  CHECK(found.given.is(xs));
  CHECK(found.element == std::vector<std::int64_t>{2, 1, 0});
  CHECK(found.str().find("look for a missing value") != std::string::npos);
}

namespace {

// exp of a gate has no bound: one large input at a step overflows there.
struct ExpGates {
  static constexpr const char* name = "exp_gates";
  static constexpr const char* arguments = "a b c";
  static constexpr const char* results = "h c";
  TL_HD auto operator()(auto a, auto b, auto c) const {
    auto next = tanh(c) + exp(b);
    return outputs(sigmoid(a) * tanh(next), next);
  }
};
struct ExpCell {
  using State = nn::State<2>;
  nn::Linear from_x, from_h;
  bool by_step = false;
  ExpCell(const nn::RecurrentOptions& o, Random& random)
      : from_x(o.input, 2 * o.hidden, random, true, o.dtype),
        from_h(o.hidden, 2 * o.hidden, random, false, o.dtype) {}
  std::array<std::int64_t, 2> state_sizes() const {
    return {from_h.weight.dim(1), from_h.weight.dim(1)};
  }
  Var input(const Var& x) const { return from_x(x); }
  Recurrence recurrence() const {
    return by_step ? Recurrence()
                   : Recurrence(ExpGates{}, of::input() + of::product(from_h.weight), of::state(1));
  }
  State step(const Var& zx, const State& s) const {
    auto [h, c] = pointwise(ExpGates{}, columns<2>(linear(s.h(), from_h.weight, zx)), s[1]);
    return State(h, c);
  }
  void visit(nn::Visitor& v) const { v("from_x", from_x), v("from_h", from_h); }
};

// Unit 3 of gate b overflows at step 5 of sequence 1, because the input there is `size`.
NonFinitePlace planted(bool by_step, bool reverse, nn::Recompute recompute) {
  Random random(3);
  ExpCell cell({.input = 3, .hidden = 5, .dtype = DType::float64}, random);
  cell.by_step = by_step;
  const Tensor w = cell.from_x.weight.value();
  w.fill(0);
  w.select(0, 8).select(0, 0).fill(1);  // b of unit 3 reads feature 0
  const Var xs = inputs(8, 2);
  xs.value().select(2, 0).fill(0.1);
  xs.value().select(0, 5).select(0, 1).select(0, 0).fill(2000);
  return find_non_finite([&] {
    const Scope scope("encoder");
    return sum(nn::unroll(cell, xs, {}, {.reverse = reverse, .recompute = recompute}).ys);
  });
}

}  // namespace

TEST_CASE("an overflow is found at its operation, layer, time step and gate") {
  for (const bool by_step : {false, true}) {
    for (const bool reverse : {false, true}) {
      for (const std::int64_t steps : {0, 3}) {
        CAPTURE(by_step);
        CAPTURE(reverse);
        CAPTURE(steps);
        const NonFinitePlace found = planted(by_step, reverse, {.steps = steps});
        REQUIRE(found);
        CHECK(found.pass == NonFinitePlace::Pass::forward);
        CHECK(found.operation == (by_step ? "exp_gates" : "recurrent"));
        CHECK(found.scope == "encoder");
        CHECK(found.step == 5);
        CHECK(found.gate == "exp(b)");
        CHECK(found.element == std::vector<std::int64_t>{1, 3});
        CHECK(found.value == kInfinity);
        CHECK(found.largest_input == doctest::Approx(2000).epsilon(0.01));
        CHECK_FALSE(found.given.defined());
      }
    }
  }
}

TEST_CASE("the report says where, what and what to do next") {
  const std::string text = planted(false, false, {}).str();
  CHECK(text.find("the first infinity of the forward pass is in operation \"recurrent\" of "
                  "\"encoder\", time step 5, gate \"exp(b)\": inf at [1, 3]") == 0);
  CHECK(text.find("clip the gradient (optim::clip_grad_norm)") != std::string::npos);
}

namespace {

// sqrt at 0 has an infinite slope: the loss is finite, its gradient is not.
struct RootGate {
  static constexpr const char* name = "root_gate";
  static constexpr const char* arguments = "a b h";
  TL_HD auto operator()(auto a, auto b, auto h) const {
    return 0.5 * h + sqrt(max(b, 0.0)) + tanh(a);
  }
};
struct RootCell {
  using State = nn::State<1>;
  Var w_hh;
  bool by_step = false;
  std::array<std::int64_t, 1> state_sizes() const { return {w_hh.dim(1)}; }
  Var input(const Var& x) const { return x; }
  Recurrence recurrence() const {
    return by_step ? Recurrence()
                   : Recurrence(RootGate{}, of::input() + of::product(w_hh), of::state(0));
  }
  State step(const Var& zx, const State& s) const {
    return State(pointwise(RootGate{}, columns<2>(linear(s.h(), w_hh, zx)), s.h()));
  }
  void visit(nn::Visitor& v) const { v("w_hh", w_hh); }
};

}  // namespace

TEST_CASE("a gradient that is not finite is found at its step and gate, from the last step back") {
  for (const bool by_step : {false, true}) {
    for (const std::int64_t steps : {0, 2}) {
      RootCell cell;
      cell.by_step = by_step;
      cell.w_hh = parameter(Tensor::zeros({4, 2}, DType::float64));
      const Var zs = parameter(Tensor::full({6, 1, 4}, 1.0, DType::float64));
      zs.value().select(0, 4).select(1, 3).fill(0);  // gate b of unit 1, steps 2 and 4
      zs.value().select(0, 2).select(1, 3).fill(0);
      const NonFinitePlace found = find_non_finite([&] {
        const Scope scope("l0");
        return sum(nn::unroll(cell, zs, {}, {.recompute = {.steps = steps}}).ys);
      });
      REQUIRE(found);
      CHECK(found.pass == NonFinitePlace::Pass::backward);
      CHECK(found.operation == (by_step ? "root_gate" : "recurrent"));
      CHECK(found.scope == "l0");
      CHECK(found.step == 4);
      CHECK(found.gate == "b");
      CHECK(found.str().find("The loss was finite, its gradient is not") != std::string::npos);
    }
  }
}

TEST_CASE("an exploding gradient is found at the state it overflows in") {
  Random random(3);
  nn::Rnn rnn({.input = 3, .hidden = 4}, random, {.nonlinearity = nn::Nonlinearity::relu});
  rnn.cells()[0].w.weight_hh.value().fill(0);
  for (std::int64_t i = 0; i < 4; ++i) {
    rnn.cells()[0].w.weight_hh.value().select(0, i).select(0, i).fill(1e20);
  }
  rnn.cells()[0].w.bias_ih.value().fill(1e-37);
  rnn.cells()[0].w.bias_hh.value().fill(0);
  rnn.cells()[0].w.weight_ih.value().fill(0);
  // h grows by 1e20 in a step, from 1e-37; the gradient grows as fast backward, from 1e10.
  const NonFinitePlace found = search(rnn, inputs(4, 1, DType::float32), 1e10);
  REQUIRE(found);
  CHECK(found.pass == NonFinitePlace::Pass::backward);
  CHECK(found.operation == "recurrent");
  CHECK(found.step == 1);  // 1e10 at step 3, 1e30, then too large for float32
  CHECK(found.gate == "h");
}

TEST_CASE("infinities that were given on purpose are no finding") {
  const Var w = parameter(Tensor::full({1, 3}, 0.5, DType::float64));
  const Var mask(Tensor::from<double>({1, 3}, {1, 1, 0}));
  const Var never(Tensor::full({}, -kInfinity, DType::float64));
  CHECK_FALSE(find_non_finite([&] {
    return sum(softmax(select(mask, w, never)) * Var(Tensor::from<double>({1, 3}, {1, 2, 3})));
  }));
  // Without a finite logit the softmax is 0 / 0.
  const NonFinitePlace found = find_non_finite([&] {
    return sum(softmax(select(Var(Tensor::zeros({1, 3}, DType::float64)), w, never)));
  });
  REQUIRE(found);
  CHECK(std::isnan(found.value));
}

TEST_CASE("a loss without recurrent layers is searched too") {
  const Var w = parameter(Tensor::from<double>({3}, {4, 0, 1}));
  const NonFinitePlace found = find_non_finite([&] { return sum(log(w)); });
  REQUIRE(found);
  CHECK(found.operation == "log");
  CHECK(found.element == std::vector<std::int64_t>{1});
  CHECK(found.step == -1);
  CHECK(found.gate.empty());
  const NonFinitePlace slope = find_non_finite([&] { return sum(sqrt(w)); });
  CHECK(slope.pass == NonFinitePlace::Pass::backward);
  CHECK(slope.operation == "sqrt");
}

TEST_CASE("dropout put back is drawn again as it was") {
  Random random(3);
  const nn::Dropout dropout(0.5, random);
  nn::NotedRandoms noted(dropout);
  const Var x = parameter(Tensor::full({40}, 1.0, DType::float64));
  noted.note();
  const auto draw = [&] {
    Tape tape;
    return dropout(x).value().to_vector<double>();
  };
  const auto first = draw();
  CHECK(draw() != first);
  noted.put_back();
  CHECK(draw() == first);
}
