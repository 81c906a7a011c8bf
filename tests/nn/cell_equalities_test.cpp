// SPDX-License-Identifier: MIT
// Cells that are equal to others for certain weights: each line of a cell's definition against one
// that is known.
#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;

constexpr std::int64_t kInput = 3, kHidden = 4;
constexpr double kSame = 1e-13;

RecurrentOptions sizes(std::int64_t input = kInput) {
  return {.input = input, .hidden = kHidden, .dtype = DType::float64};
}

// A cell with random weights that are large enough to matter.
template <class C>
C made(std::uint64_t seed, const OptionsOf<C>& own = {}, std::int64_t input = kInput) {
  Random random(seed);
  const C cell = make_cell<C>(sizes(input), random, own);
  for (const NamedVar& p : parameters(cell)) init::uniform(p.var, -1, 1, random);
  return cell;
}

void set(const Var& to, const Var& from) { to.value().copy_from(from.value()); }
void zero(const Var& x) { init::constant(x, 0); }
Var rows(const Var& x, std::int64_t first, std::int64_t count = 1) {
  return slice(x, 0, first * kHidden, (first + count) * kHidden);
}
// All weights of `to` from rows of `from`, block by block.
void set_blocks(const GateWeights& to, const GateWeights& from,
                std::initializer_list<std::int64_t> blocks) {
  const auto chosen = [&](const Var& x) {
    PoolVector<Var> list;
    for (const std::int64_t block : blocks) list.push_back(rows(x, block));
    return concat(list, 0);
  };
  set(to.weight_ih, chosen(from.weight_ih));
  set(to.weight_hh, chosen(from.weight_hh));
  set(to.bias_ih, chosen(from.bias_ih));
  if (to.bias_hh.defined()) set(to.bias_hh, chosen(from.bias_hh));
}
// Makes a gate of an LSTM 1, whatever it reads.
void open(const GateWeights& w, std::int64_t gate) {
  for (const Var& x : {w.weight_ih, w.weight_hh, w.bias_hh}) rows(x, gate).value().fill(0);
  rows(w.bias_ih, gate).value().fill(45);
}

template <class A, class B>
double distance(const A& a, const B& b, const Var& xs) {
  return test::distance(unroll(a, xs).ys.value(), unroll(b, xs).ys.value());
}
const Var& inputs(std::int64_t size = kInput) {
  static const Var three(random_tensor({7, 3, 3}, 1)), four(random_tensor({7, 3, 4}, 2));
  return size == 3 ? three : four;
}

using V = LstmVariant;

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

}  // namespace

TEST_CASE("an sLSTM with heads is the sLSTM whose recurrent weight is block-diagonal") {
  for (const ForgetGate forget : {ForgetGate::sigmoid, ForgetGate::exponential}) {
    const auto cell = made<SlstmCell>(50, {.heads = 2, .forget = forget});
    auto whole = made<SlstmCell>(51, {.forget = forget});
    set(whole.w.weight_ih, cell.w.weight_ih), set(whole.w.bias_ih, cell.w.bias_ih);
    zero(whole.w.weight_hh);
    for (std::int64_t row = 0; row < 4 * kHidden; ++row) {
      const std::int64_t first = row % kHidden / 2 * 2;
      whole.w.weight_hh.value()
          .select(0, row)
          .slice(0, first, first + 2)
          .copy_from(cell.w.weight_hh.value().select(0, row));
    }
    CHECK(distance(cell, whole, inputs()) < kSame);
  }
}

// c e^m and n e^m are the state.
TEST_CASE("an xLSTM whose m is larger by k, and its memory smaller by e^k, has the same outputs") {
  const auto slstm = made<SlstmCell>(52, {.heads = 2});
  const auto mlstm = made<MlstmCell>(53, {.heads = 2, .chunk = 3});
  const auto check = [&](const auto& cell) {
    const auto sizes = cell.state_sizes();
    const auto part = [&](std::size_t k, double low) {
      return Var(random_tensor({3, sizes[k]}, 60 + k, DType::float64, low, 1));
    };
    const State<4> one(part(0, -1), part(1, -1), part(2, 0.1), part(3, -1));
    const double factor = std::exp(-7.0);
    const State<4> other(one[0], one[1] * factor, one[2] * factor, one[3] + 7.0);
    const auto a = unroll(cell, inputs(), one), b = unroll(cell, inputs(), other);
    CHECK(test::distance(a.ys.value(), b.ys.value()) < kSame);
    CHECK(test::distance(a.ys.value(), unroll(cell, inputs()).ys.value()) > 1e-3);
    for (const std::size_t k : {std::size_t{1}, std::size_t{2}}) {
      const std::int64_t each = sizes[k] / sizes[3];
      const auto whole = [&](const State<4>& s) {
        return (reshape(s[k], {3, sizes[3], each}) * exp(insert_axis(s[3], -1))).value();
      };
      CHECK(test::distance(whole(a.last), whole(b.last)) < 1e-12);
    }
  };
  check(slstm);
  check(mlstm);
}

// h = sigmoid(o) c / n with c' = f c + e^i tanh(g), n' = f n + e^i.
TEST_CASE("an sLSTM with small gates is the formula without a stabiliser") {
  const auto cell = made<SlstmCell>(54);
  Var h(Tensor::zeros({3, kHidden}, DType::float64)), c = h, n = h;
  const Var ys = unroll(cell, inputs()).ys;
  for (std::int64_t t = 0; t < ys.dim(0); ++t) {
    const auto z =
        chunk(cell.input(select_index(inputs(), 0, t)) + linear(h, cell.w.weight_hh), 4, -1);
    c = sigmoid(z[1]) * c + exp(z[0]) * tanh(z[2]);
    n = sigmoid(z[1]) * n + exp(z[0]);
    h = sigmoid(z[3]) * c / n;
    CHECK(test::distance(h.value(), select_index(ys, 0, t).value()) < kSame);
  }
}

TEST_CASE("an mLSTM gives the same numbers step by step, in chunks and at once") {
  for (const double epsilon : {0.0, 1e-2}) {
    const auto steps = made<MlstmCell>(55, {.heads = 2, .epsilon = epsilon, .chunk = 1});
    for (const std::int64_t chunk : {0, 2, 3, 7, 64}) {
      auto other = steps;
      other.own.chunk = chunk;
      CHECK(distance(steps, other, inputs()) < 1e-12);
      const auto a = unroll(steps, inputs()).last, b = unroll(other, inputs()).last;
      for (std::size_t k = 0; k < 4; ++k) CHECK(test::distance(a[k].value(), b[k].value()) < 1e-12);
    }
    State<4> state;
    detail::complete_state(steps, inputs(), state);
    const Var ys = unroll(steps, inputs()).ys;
    for (std::int64_t t = 0; t < ys.dim(0); ++t) {
      state = steps.step(steps.input(select_index(inputs(), 0, t)), state);
      CHECK(test::distance(state.h().value(), select_index(ys, 0, t).value()) < 1e-12);
    }
  }
}

TEST_CASE("an xLSTM with gates of any size has finite outputs and gradients") {
  for (const double size : {-2000.0, -200.0, 200.0, 2000.0}) {
    CAPTURE(size);
    for (const ForgetGate forget : {ForgetGate::sigmoid, ForgetGate::exponential}) {
      Random random(56);
      const RecurrentOptions options{.input = kInput, .hidden = kHidden};
      const SlstmCell slstm(options, random, {.heads = 2, .forget = forget});
      const MlstmCell mlstm(options, random, {.heads = 2, .forget = forget, .chunk = 3});
      init::constant(slice(slstm.w.bias_ih, 0, 0, 2 * kHidden), size);
      init::constant(mlstm.bias_if, size);
      const Var xs = parameter(random_tensor({7, 3, kInput}, 1, DType::float32));
      const auto check = [&](const auto& cell) {
        Tape tape;
        tape.backward(sum(unroll(cell, xs).ys));
        for (const NamedVar& p : parameters(cell)) {
          CAPTURE(p.name);
          for (const double x : p.var.grad().value().template to_vector<double>()) {
            CHECK(std::isfinite(x));
          }
        }
      };
      check(slstm);
      check(mlstm);
    }
  }
}

TEST_CASE("an LSTM whose peepholes are 0, or that has none, is the LSTM") {
  const auto lstm = made<LstmCell>(1);
  for (const Peephole peephole : {Peephole::none, Peephole::diagonal, Peephole::full}) {
    auto cell = made<PeepholeLstmCell>(2, {.peephole = peephole});
    cell.w = lstm.w;
    if (cell.weight_ch.defined()) {
      CHECK(distance(cell, lstm, inputs()) > 0.01);
      zero(cell.weight_ch);
    }
    CHECK(distance(cell, lstm, inputs()) < kSame);
  }
}

TEST_CASE("full peepholes with diagonal matrices are diagonal peepholes, in every variant") {
  for (const V variant : {V::base, V::no_input_gate, V::no_forget_gate, V::no_output_gate,
                          V::no_input_activation, V::no_output_activation, V::coupled}) {
    auto diagonal = made<PeepholeLstmCell>(3, {.variant = variant});
    auto full = made<PeepholeLstmCell>(4, {.variant = variant, .peephole = Peephole::full});
    full.w = diagonal.w;
    zero(full.weight_ch);
    for (std::int64_t i = 0; i < full.weight_ch.dim(0); ++i) {
      full.weight_ch.value().data<double>()[i * kHidden + i % kHidden] =
          diagonal.weight_ch.value().at({i});
    }
    full.weight_ch.value().mark_written();
    CHECK(distance(full, diagonal, inputs()) < kSame);
  }
}

TEST_CASE("variants without a gate are the LSTM whose gate is open") {
  struct Row {
    V variant;
    std::int64_t gate;
    std::initializer_list<std::int64_t> others;
  };
  for (const Row& row : {Row{V::no_input_gate, 0, {1, 2, 3}}, Row{V::no_forget_gate, 1, {0, 2, 3}},
                         Row{V::no_output_gate, 3, {0, 1, 2}}}) {
    const auto lstm = made<LstmCell>(5);
    const auto cell =
        made<PeepholeLstmCell>(6, {.variant = row.variant, .peephole = Peephole::none});
    set_blocks(cell.w, lstm.w, row.others);
    CHECK(distance(cell, lstm, inputs()) > 0.01);
    open(lstm.w, row.gate);
    CHECK(distance(cell, lstm, inputs()) < kSame);
  }
}

TEST_CASE(
    "coupled gates are the LSTM whose forget gate has the negative weights of its input gate") {
  const auto lstm = made<LstmCell>(7);
  for (const Var& x : {lstm.w.weight_ih, lstm.w.weight_hh, lstm.w.bias_ih, lstm.w.bias_hh}) {
    rows(x, 1).value().copy_from((-rows(x, 0)).value());
    x.value().mark_written();
  }
  const auto cell = made<PeepholeLstmCell>(8, {.variant = V::coupled, .peephole = Peephole::none});
  set_blocks(cell.w, lstm.w, {0, 2, 3});
  CHECK(distance(cell, lstm, inputs()) < kSame);
}

TEST_CASE("full gate recurrence with weights 0 is the LSTM with peepholes") {
  for (const Peephole peephole : {Peephole::diagonal, Peephole::full}) {
    const auto base = made<PeepholeLstmCell>(9, {.peephole = peephole});
    auto cell = made<FullGateLstmCell>(10, {.peephole = peephole});
    cell.w = base.w;
    cell.weight_ch = base.weight_ch;
    CHECK(distance(cell, base, inputs()) > 0.01);
    zero(cell.weight_gg);
    CHECK(distance(cell, base, inputs()) < kSame);
  }
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

TEST_CASE(
    "a residual stack adds its input; a highway stack whose gates are open is the plain one") {
  Random a(12), b(12), c(12);
  RecurrentOptions options = sizes(kHidden);
  const Lstm plain(options, a);
  options.connection = Connection::residual;
  const Lstm residual(options, b);
  options.connection = Connection::highway;
  const Lstm highway(options, c);
  const Var xs = inputs(kHidden);
  const Var ys = plain(xs).ys;
  CHECK(test::distance(residual(xs).ys.value(), (xs + ys).value()) < kSame);
  const ParameterList list = parameters(highway);
  const auto gate = [&](double bias) {
    for (const NamedVar& p : list) {
      if (p.name == "highway.weight_l0") zero(p.var);
      if (p.name == "highway.bias_l0") init::constant(p.var, bias);
    }
  };
  gate(45);
  CHECK(test::distance(highway(xs).ys.value(), ys.value()) < kSame);
  gate(-45);
  CHECK(test::distance(highway(xs).ys.value(), xs.value()) < kSame);
}

TEST_CASE("MGU is the GRU with reset before, r = f and z = 1 - f") {
  const auto mgu = made<MguCell>(13);
  const auto gru = made<GruCell>(14, {.reset = GruReset::before});
  const auto blocks = [](const Var& x) { return concat({rows(x, 0), -rows(x, 0), rows(x, 1)}, 0); };
  set(gru.w.weight_ih, blocks(mgu.w.weight_ih));
  set(gru.w.weight_hh, blocks(mgu.w.weight_hh));
  set(gru.w.bias_ih, blocks(mgu.w.bias_ih));
  zero(gru.w.bias_hh);
  CHECK(distance(mgu, gru, inputs()) < kSame);
}

TEST_CASE("IndRNN is the RNN with a diagonal weight of h") {
  for (const Nonlinearity f : {Nonlinearity::relu, Nonlinearity::tanh}) {
    const auto ind = made<IndRnnCell>(15, {.nonlinearity = f});
    const auto rnn = made<RnnCell>(16, {.nonlinearity = f});
    set(rnn.w.weight_ih, ind.from_x.weight);
    set(rnn.w.bias_ih, ind.from_x.bias);
    zero(rnn.w.bias_hh);
    zero(rnn.w.weight_hh);
    for (std::int64_t i = 0; i < kHidden; ++i) {
      rnn.w.weight_hh.value().select(0, i).select(0, i).fill(ind.weight_hh.value().at({i}));
    }
    CHECK(distance(ind, rnn, inputs()) < kSame);
  }
}

TEST_CASE("IndRNN keeps its weights within 2^(1/T)") {
  const auto cell = made<IndRnnCell>(17);
  init::constant(cell.weight_hh, -3);
  cell.clip(2);
  CHECK(cell.weight_hh.value().at({0}) == doctest::Approx(-std::sqrt(2.0)));
}

TEST_CASE("a clockwork RNN of one group that always runs is the RNN") {
  const auto clockwork = made<ClockworkCell>(18, {.periods = {1}});
  auto rnn = made<RnnCell>(19);
  set(rnn.w.weight_hh, clockwork.w.weight_hh);
  set(rnn.w.weight_ih, clockwork.w.weight_ih);
  set(rnn.w.bias_ih, clockwork.w.bias_ih);
  zero(rnn.w.bias_hh);
  CHECK(distance(clockwork, rnn, inputs()) < kSame);
}

TEST_CASE("a recurrent highway network whose upper layers are shut has depth 1") {
  const auto deep = made<RecurrentHighwayCell>(20, {.depth = 3});
  auto flat = made<RecurrentHighwayCell>(21, {.depth = 1});
  flat.weight_ih = deep.weight_ih;
  flat.weight_hh[0] = deep.weight_hh[0];
  flat.bias[0] = deep.bias[0];
  CHECK(distance(deep, flat, inputs()) > 0.01);
  for (const std::size_t l : {std::size_t{1}, std::size_t{2}}) {
    zero(deep.weight_hh[l]);
    rows(deep.bias[l], 1).value().fill(-45);
  }
  CHECK(distance(deep, flat, inputs()) < kSame);
}

TEST_CASE("an SRU whose gates do not see c is version 1") {
  const auto second = made<SruCell>(22);
  auto first = made<SruCell>(23, {.version = 1});
  first.weight_ih = second.weight_ih;
  first.bias_ih = second.bias_ih;
  CHECK(distance(second, first, inputs()) > 0.001);
  zero(second.weight_ch);
  CHECK(distance(second, first, inputs()) < kSame);
}

TEST_CASE("a minLSTM is the minGRU whose gate is i / (i + f)") {
  // f = -i: then F + I = 1, and the gate is sigmoid(i).
  const auto lstm = made<MinLstmCell>(24);
  const auto gru = made<MinGruCell>(25);
  for (const auto& [to, from] : {std::pair{lstm.from_x.weight, gru.from_x.weight},
                                 std::pair{lstm.from_x.bias, gru.from_x.bias}}) {
    set(to, concat({rows(from, 0), -rows(from, 0), rows(from, 1)}, 0));
  }
  CHECK(distance(lstm, gru, inputs()) < kSame);
}

TEST_CASE("a phased LSTM that is always open is its LSTM; one that is shut keeps its state") {
  auto phased = made<PhasedLstmCell>(26, {}, kInput + 1);
  auto lstm = made<PeepholeLstmCell>(27);
  lstm.w = phased.w;
  lstm.weight_ch = phased.weight_ch;
  init::constant(phased.tau, 1);
  init::constant(phased.r_on, 0.5);
  const auto at = [&](double time) {
    const Var times(Tensor::full({7, 3, 1}, time, DType::float64));
    return concat({inputs(), times}, 2);
  };
  init::constant(phased.shift, 0);
  CHECK(test::distance(unroll(phased, at(0.25)).ys.value(), unroll(lstm, inputs()).ys.value()) <
        kSame);
  const State<2> start(Var(random_tensor({3, kHidden}, 3)), Var(random_tensor({3, kHidden}, 4)));
  const auto last = unroll(phased, at(0.75), start).last;
  CHECK(test::distance(last[0].value(), start[0].value()) < kSame);
  CHECK(test::distance(last[1].value(), start[1].value()) < kSame);
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

TEST_CASE("cells refuse options that make no sense, and say which") {
  Random random(33);
  const RecurrentOptions o = sizes();
  CHECK(test::throws_with("mut|variant is 4|1, 2 or 3",
                          [&] { MutCell(sizes(kHidden), random, {.variant = 4}); }));
  CHECK(test::throws_with("mut|input is 3, hidden 4|variant 3",
                          [&] { MutCell(o, random, {.variant = 1}); }));
  CHECK(test::throws_with("recurrent_highway|depth is 0",
                          [&] { RecurrentHighwayCell(o, random, {.depth = 0}); }));
  CHECK(test::throws_with("sru|version is 3", [&] { SruCell(o, random, {.version = 3}); }));
  CHECK(test::throws_with("clockwork|hidden 4|3 equal groups", [&] {
    ClockworkCell(o, random, {.periods = {1, 2, 4}});
  }));
  CHECK(test::throws_with("clockwork|periods are 2, 1|rise from group to group", [&] {
    ClockworkCell(o, random, {.periods = {2, 1}});
  }));
  CHECK(
      test::throws_with("phased_lstm|input is 1|time", [&] { PhasedLstmCell(sizes(1), random); }));
  CHECK(test::throws_with("lmu|order is 0", [&] { LmuCell(o, random, {.order = 0}); }));
  CHECK(test::throws_with("peephole_lstm|projection 4|smaller than hidden",
                          [&] { PeepholeLstmCell(o, random, {.projection = 4}); }));
}

}  // namespace tapeloop::nn
