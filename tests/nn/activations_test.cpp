// SPDX-License-Identifier: MIT
// Activations against steps calculated by hand.
#include <doctest/doctest.h>

#include <cmath>

#include "tapeloop/nn/nn.h"
#include "tests/sequence/minimal_cell.h"

using namespace tapeloop;

namespace {

Var inputs(std::int64_t t, std::int64_t n) {
  Random random(5);
  return Var(random_normal({t, n, 3}, 0, 1, random, DType::float64));
}

template <class C>
nn::Recurrent<C> stack(const nn::RecurrentOptions& more = {}, const nn::OptionsOf<C>& own = {}) {
  Random random(3);
  nn::RecurrentOptions options = more;
  options.input = 3;
  options.hidden = 5;
  options.dtype = DType::float64;
  return {options, random, own};
}

const nn::Activation& find(const std::vector<nn::Activation>& all, const std::string& layer,
                           const std::string& name) {
  for (const nn::Activation& a : all) {
    if (a.layer == layer && a.name == name) return a;
  }
  FAIL("there is no ", layer, " ", name);
  return all.front();
}

std::vector<std::string> names(const std::vector<nn::Activation>& all) {
  std::vector<std::string> result;
  for (const nn::Activation& a : all) result.push_back(a.name + (a.state ? " (state)" : ""));
  return result;
}

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

struct NamelessGate {  // from the README
  TL_HD auto operator()(auto f, auto n, auto h) const { return h + sigmoid(f) * (tanh(n) - h); }
};
using NamelessCell = test::CellOf<NamelessGate>;
struct StepCell {  // two gates, written with single operations
  using State = nn::State<1>;
  nn::Linear from_x, from_h;
  StepCell(const nn::RecurrentOptions& o, Random& random)
      : from_x(o.input, o.hidden, random, true, o.dtype),
        from_h(o.hidden, o.hidden, random, false, o.dtype) {}
  std::array<std::int64_t, 1> state_sizes() const { return {from_h.weight.dim(1)}; }
  State step(const Var& x, const State& s) const {
    const Var z = from_x(x) + from_h(s.h());
    return State(sigmoid(z) * s.h() + sigmoid(-z) * tanh(z));
  }
  void visit(nn::Visitor& v) const { v("from_x", from_x), v("from_h", from_h); }
};

}  // namespace

TEST_CASE("an LSTM's state and gates are recorded by name, with the values of its formula") {
  const auto lstm = stack<nn::LstmCell>();
  const Var xs = inputs(4, 2);
  std::vector<nn::Activation> all;
  Var ys;
  {
    nn::RecordActivations record;
    ys = lstm(xs).ys;
    all = record.all();
  }
  CHECK(names(all) == std::vector<std::string>{"h (state)", "c (state)", "i", "f", "g", "o",
                                               "sigmoid(f)", "sigmoid(i)", "sigmoid(o)", "tanh(g)",
                                               "tanh(sigmoid(f) * c + sigmoid(i) * tanh(g))"});
  const auto& h = find(all, "l0", "h");
  const auto& c = find(all, "l0", "c");
  const auto& f = find(all, "l0", "f");
  const auto& i = find(all, "l0", "i");
  const auto& g = find(all, "l0", "tanh(g)");
  const auto& gate = find(all, "l0", "sigmoid(f)");
  CHECK(h.state);
  CHECK_FALSE(gate.state);
  CHECK(h.steps == 4);
  CHECK(h.batch == 2);
  CHECK(h.units == 5);
  for (std::int64_t t = 0; t < 4; ++t) {
    for (std::int64_t n = 0; n < 2; ++n) {
      for (std::int64_t u = 0; u < 5; ++u) {
        CHECK(static_cast<double>(h.at(t, n, u)) ==
              doctest::Approx(ys.value().at({t, n, u})).epsilon(1e-6));
        const double sigma = sigmoid_of(static_cast<double>(f.at(t, n, u)));
        CHECK(static_cast<double>(gate.at(t, n, u)) == doctest::Approx(sigma).epsilon(1e-6));
        const double before = t == 0 ? 0 : static_cast<double>(c.at(t - 1, n, u));
        const double next = sigma * before + sigmoid_of(static_cast<double>(i.at(t, n, u))) *
                                                 static_cast<double>(g.at(t, n, u));
        CHECK(static_cast<double>(c.at(t, n, u)) == doctest::Approx(next).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("recording changes no result") {
  const auto same = [](const auto& model) {
    const Var xs = inputs(4, 2);
    const auto plain = model(xs).ys.value().template to_vector<double>();
    nn::RecordActivations record;
    CHECK(model(xs).ys.value().template to_vector<double>() == plain);
  };
  same(stack<nn::LstmCell>({.layers = 2, .bidirectional = true}));
  same(stack<nn::GruCell>());
  same(stack<NamelessCell>());
}

TEST_CASE("any cell is recorded: without names, by single operations, with several operations") {
  const auto record = [](const auto& model) {
    nn::RecordActivations recording;
    model(inputs(3, 1));
    return recording.all();
  };
  const auto nameless = record(stack<NamelessCell>());
  find(nameless, "l0", "a0");
  find(nameless, "l0", "sigmoid(a0)");
  find(nameless, "l0", "tanh(a1)");
  const auto by_step = record(stack<StepCell>());
  find(by_step, "l0", "tanh");
  const auto& one = find(by_step, "l0", "sigmoid");
  const auto& other = find(by_step, "l0", "sigmoid 2");
  for (std::int64_t u = 0; u < 5; ++u)
    CHECK(one.at(1, 0, u) + other.at(1, 0, u) == doctest::Approx(1));
  const auto gru = record(stack<nn::GruCell>({}, {.reset = nn::GruReset::before}));
  find(gru, "l0", "gru_reset");
  find(gru, "l0", "sigmoid(z)");
  const auto after = record(stack<nn::GruCell>());
  find(after, "l0", "sigmoid(xz + hz)");
  find(after, "l0", "tanh(xn + sigmoid(xr + hr) * hn)");
  const auto projected = record(stack<nn::LstmCell>({}, {.projection = 2}));
  CHECK(find(projected, "l0", "h").units == 2);
  CHECK(find(projected, "l0", "c").units == 5);
  find(projected, "l0", "lstm_gates h");
}

TEST_CASE("a text read in pieces is recorded as one") {
  const auto lstm = stack<nn::LstmCell>({.layers = 2});
  const Var xs = inputs(6, 1);
  std::vector<nn::Activation> whole, pieces;
  {
    nn::RecordActivations record;
    lstm(xs);
    whole = record.all();
  }
  {
    nn::RecordActivations record;
    auto [ys, last] = lstm(slice(xs, 0, 0, 4));
    lstm(slice(xs, 0, 4, 6), last);
    pieces = record.all();
  }
  REQUIRE(whole.size() == pieces.size());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CHECK(pieces[i].name == whole[i].name);
    CHECK(pieces[i].values == whole[i].values);
  }
  nn::RecordActivations record;
  lstm(xs);
  CHECK_THROWS_WITH(lstm(inputs(2, 3)),
                    "activations: layer \"l0\" runs with a batch of 3, before with 1; record calls "
                    "of one batch size, or give the layers different names by a Scope");
}

TEST_CASE("a step under a tape, and one with recomputation, is recorded once") {
  const auto lstm = stack<nn::LstmCell>({.recompute = {.steps = 2}});
  nn::RecordActivations record;
  {
    Tape tape;
    tape.backward(sum(lstm(inputs(5, 1)).ys));
  }
  CHECK(find(record.all(), "l0", "h").steps == 5);
}
