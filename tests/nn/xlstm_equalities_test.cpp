// SPDX-License-Identifier: MIT
// Equalities of sLSTM and mLSTM: with heads, with other stabilisers, step by step and at once.
#include "tests/nn/equal_cells.h"

namespace tapeloop::nn {

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

}  // namespace tapeloop::nn
