// SPDX-License-Identifier: MIT
// Cells whose gates do not see the state, against scans of the same coefficients; LRU and S4D
// against causal convolutions; windows of the QRNN in parts of a sequence.
#include <cmath>

#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;

constexpr std::int64_t kSteps = 9, kBatch = 3, kSize = 4;
constexpr double kSame = 1e-12;

template <class C>
C made(std::uint64_t seed, const OptionsOf<C>& own = {}) {
  Random random(seed);
  const RecurrentOptions sizes{.input = kSize, .hidden = kSize, .dtype = DType::float64};
  return make_cell<C>(sizes, random, own);
}
const Var& inputs() {
  static const Var xs(random_tensor({kSteps, kBatch, kSize}, 1));
  return xs;
}
// A positive state.
Var start() { return square(Var(random_tensor({kBatch, kSize}, 2))) + 0.1; }
double distance(const Var& a, const Var& b) { return test::distance(a.value(), b.value()); }

// The loop of the cell, the scan of h' = a h + b, and, where all are positive, that of logarithms.
void check_scan(const Var& loop, const Var& a, const Var& b, const Var& h0, bool positive) {
  CHECK(distance(loop, linear_scan(a, b, h0)) < kSame);
  if (!positive) return;
  const Var logs = linear_scan(log(a), log(b), log(h0), {.kind = ScanKind::log});
  CHECK(distance(loop, exp(logs)) < kSame);
}

Var positive_part(const Var& v) { return select(less(v, 0.0 * v), sigmoid(v), v + 0.5); }

}  // namespace

TEST_CASE("a minGRU is a scan, and with positive candidates a scan of logarithms") {
  for (const bool positive : {false, true}) {
    const auto cell = made<MinGruCell>(3, {.positive = positive});
    const auto parts = chunk(cell.input(inputs()), 2, -1);
    const Var z = sigmoid(parts[0]);
    const Var candidate = positive ? positive_part(parts[1]) : parts[1];
    check_scan(unroll(cell, inputs(), State<1>(start())).ys, 1.0 - z, z * candidate, start(),
               positive);
  }
}

TEST_CASE("a minLSTM is a scan, and with positive candidates a scan of logarithms") {
  for (const bool positive : {false, true}) {
    const auto cell = made<MinLstmCell>(4, {.positive = positive});
    const auto parts = chunk(cell.input(inputs()), 3, -1);
    const Var i = sigmoid(parts[0]), f = sigmoid(parts[1]), sum = i + f;
    const Var candidate = positive ? positive_part(parts[2]) : parts[2];
    check_scan(unroll(cell, inputs(), State<1>(start())).ys, f / sum, i / sum * candidate, start(),
               positive);
  }
}

TEST_CASE("a state that goes through g is the state g(h)") {
  Random a(5), b(5);
  const RecurrentOptions sizes{.input = kSize, .hidden = kSize, .dtype = DType::float64};
  const MinGru given(sizes, a, {.positive = true});
  const MinGru through(sizes, b, {.positive = true, .initial = MinInitial::through_g});
  const Var h0(random_tensor({1, kBatch, kSize}, 6));
  CHECK(distance(through(inputs(), State<1>(h0)).ys,
                 given(inputs(), State<1>(positive_part(h0))).ys) < kSame);
  CHECK(distance(through(inputs()).ys, given(inputs()).ys) == 0);
  CHECK(test::throws_with("min_gru|through_g|positive is false",
                          [&] { MinGru(sizes, a, {.initial = MinInitial::through_g}); }));
  CHECK(test::throws_with("min_lstm|through_g|positive is false",
                          [&] { MinLstm(sizes, a, {.initial = MinInitial::through_g}); }));
}

TEST_CASE("an SRU whose gates do not see c is a scan") {
  const auto cell = made<SruCell>(7, {.version = 1});
  const auto parts = chunk(cell.input(inputs()), 4, -1);
  const Var f = sigmoid(parts[1]), r = sigmoid(parts[2]);
  const Var c = linear_scan(f, (1.0 - f) * parts[0], start());
  const Var ys = unroll(cell, inputs(), State<2>(0.0 * start(), start())).ys;
  CHECK(distance(ys, r * c + (1.0 - r) * inputs()) < kSame);
}

TEST_CASE("a QRNN is a convolution and a scan, for each pooling and window") {
  for (const QrnnPool pool : {QrnnPool::f, QrnnPool::fo, QrnnPool::ifo}) {
    for (const std::int64_t window : {1, 2, 3}) {
      const auto cell = made<QrnnCell>(8, {.pool = pool, .window = window});
      Var z(Tensor::zeros({kSteps, kBatch, cell.weight_ih.dim(0)}, DType::float64));
      const Var before(Tensor::zeros({window - 1, kBatch, kSize}, DType::float64));
      const Var padded = window > 1 ? concat({before, inputs()}, 0) : inputs();
      for (std::int64_t k = 0; k < window; ++k) {
        z = z + linear(slice(padded, 0, k, k + kSteps), select_index(cell.weight_ih, 2, k));
      }
      z = z + cell.bias_ih;
      const auto parts = split(
          z, std::vector<std::int64_t>(static_cast<std::size_t>(z.dim(-1) / kSize), kSize), -1);
      const Var f = sigmoid(parts[1]);
      const Var i = pool == QrnnPool::ifo ? sigmoid(parts[3]) : 1.0 - f;
      const Var c = linear_scan(f, i * tanh(parts[0]), start());
      const Var h = pool == QrnnPool::f ? c : sigmoid(parts[2]) * c;
      CHECK(distance(unroll(cell, inputs(), State<3>(Var(), start(), Var())).ys, h) < kSame);
    }
  }
}

TEST_CASE("an LRU is a causal convolution with C lambda^t B") {
  const auto cell = made<LruCell>(9, {.state = 5});
  const Var radius = exp(-exp(cell.nu_log)), phase = exp(cell.theta_log);
  const Var gamma = insert_axis(exp(cell.gamma_log), 1);
  Var expected = inputs() * cell.d;
  for (std::int64_t lag = 0; lag < kSteps; ++lag) {
    const Var size = insert_axis(pow(radius, static_cast<double>(lag)), 0);
    const Var angle = insert_axis(phase * static_cast<double>(lag), 0);
    // Re(C lambda^lag B)
    const Var re = cell.c_re * size * cos(angle) - cell.c_im * size * sin(angle);
    const Var im = cell.c_re * size * sin(angle) + cell.c_im * size * cos(angle);
    const Var kernel = matmul(re, gamma * cell.b_re) - matmul(im, gamma * cell.b_im);
    const Var term = linear(slice(inputs(), 0, 0, kSteps - lag), kernel);
    const Var none(Tensor::zeros({lag, kBatch, kSize}, DType::float64));
    expected = expected + (lag == 0 ? term : concat({none, term}, 0));
  }
  CHECK(distance(unroll(cell, inputs()).ys, expected) < kSame);
}

TEST_CASE("S4D is a causal convolution with 2 Re(C A^t B), and starts as S4D-Lin") {
  const auto cell = made<S4dCell>(10, {.state = 3, .dt_min = 0.05, .dt_max = 0.5});
  CHECK(cell.a_im.value().at({1, 2}) == doctest::Approx(2 * 3.14159265358979));
  CHECK(cell.a_log_re.value().at({3, 1}) == doctest::Approx(std::log(0.5)));
  const Var dt = insert_axis(exp(cell.log_dt), 1);
  const Var re = -exp(cell.a_log_re), im = cell.a_im;
  const Var grown = exp(dt * re), b_re = grown * cos(dt * im) - 1.0, b_im = grown * sin(dt * im);
  const Var size = square(re) + square(im);
  // B = (e^(dt A) - 1)/A
  const Var zr = (b_re * re + b_im * im) / size, zi = (b_im * re - b_re * im) / size;
  Var expected = inputs() * cell.d;
  for (std::int64_t lag = 0; lag < kSteps; ++lag) {
    const auto n = static_cast<double>(lag);
    const Var power = exp(dt * re * n), pr = power * cos(dt * im * n),
              pi = power * sin(dt * im * n);
    const Var kr = pr * zr - pi * zi, ki = pr * zi + pi * zr;
    const Var kernel = 2.0 * sum(cell.c_re * kr - cell.c_im * ki, {1});
    const Var term = slice(inputs(), 0, 0, kSteps - lag) * kernel;
    const Var none(Tensor::zeros({lag, kBatch, kSize}, DType::float64));
    expected = expected + (lag == 0 ? term : concat({none, term}, 0));
  }
  CHECK(distance(unroll(cell, inputs()).ys, expected) < kSame);
}

TEST_CASE("a sequence in parts is the whole, with its state and its window handed on") {
  const auto check = [](const auto& cell) {
    using S = typename std::decay_t<decltype(cell)>::State;
    for (const bool reverse : {false, true}) {
      const auto whole = unroll(cell, inputs(), S(), {.reverse = reverse});
      const Var early = slice(inputs(), 0, 0, 4), late = slice(inputs(), 0, 4, kSteps);
      const auto first = unroll(cell, reverse ? late : early, S(), {.reverse = reverse});
      const auto second = unroll(cell, reverse ? early : late, first.last, {.reverse = reverse});
      const Var joined =
          reverse ? concat({second.ys, first.ys}, 0) : concat({first.ys, second.ys}, 0);
      CHECK(distance(whole.ys, joined) < kSame);
      for (std::size_t k = 0; k < S::parts; ++k) {
        CHECK(distance(whole.last[k], second.last[k]) < kSame);
      }
      const auto segments =
          unroll(cell, inputs(), S(), {.reverse = reverse, .recompute = {.steps = 2}});
      CHECK(distance(whole.ys, segments.ys) < kSame);
    }
  };
  check(made<QrnnCell>(11, {.window = 3}));
  check(made<QrnnCell>(12, {.pool = QrnnPool::f, .window = 1}));
  check(made<LruCell>(13));
  check(made<S4dCell>(14, {.state = 2}));
}

TEST_CASE("cells of scans refuse options that make no sense, and say which") {
  Random random(15);
  RecurrentOptions sizes{.input = kSize, .hidden = kSize};
  CHECK(test::throws_with("qrnn|window is 0", [&] { QrnnCell(sizes, random, {.window = 0}); }));
  CHECK(test::throws_with("lru|r_max 1|r_max < 1", [&] { LruCell(sizes, random, {.r_max = 1}); }));
  CHECK(test::throws_with("s4d|state is 0", [&] { S4dCell(sizes, random, {.state = 0}); }));
  sizes.input = 3;
  CHECK(test::throws_with("lru|input is 3, hidden 4|nn::Linear", [&] { LruCell(sizes, random); }));
  CHECK(test::throws_with("s4d|input is 3, hidden 4|nn::Linear", [&] { S4dCell(sizes, random); }));
}

}  // namespace tapeloop::nn
