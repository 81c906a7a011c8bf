// SPDX-License-Identifier: MIT
// Cells that are equal to others for certain weights: each line of a cell's definition against one
// that is known.
#include "tests/nn/equal_cells.h"

namespace tapeloop::nn {

using V = LstmVariant;

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

TEST_CASE("UGRNN is the GRU whose reset gate is open, z = g") {
  const auto ugrnn = made<UgrnnCell>(17);
  const auto gru = made<GruCell>(18);
  const auto& from = ugrnn.w;
  for (const auto& [to, x] :
       {std::pair(gru.w.weight_ih, from.weight_ih), std::pair(gru.w.weight_hh, from.weight_hh),
        std::pair(gru.w.bias_ih, from.bias_ih)}) {
    set(to, concat({rows(x, 0), rows(x, 0), rows(x, 1)}, 0));
  }
  zero(gru.w.bias_hh);
  open(gru.w, 0);
  CHECK(distance(ugrnn, gru, inputs()) < kSame);
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
