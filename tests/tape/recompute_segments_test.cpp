// SPDX-License-Identifier: MIT
// unroll() in recomputed segments, in first and second order: two parts of a state that are one
// Var, empty sequences, weights made by operations. recompute_test.cpp tests bits and memory of
// ordinary segments.
#include <optional>

#include "tapeloop/nn/nn.h"
#include "tests/ops/derivatives.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::derivatives;
using test::random_tensor;
using test::same_bits;
using test::vars_of;
using Results = PoolVector<Var>;

// h and c are one Var.
struct TwinStateCell {
  using State = nn::State<2>;
  Var w, u;
  std::array<std::int64_t, 2> state_sizes() const { return {u.dim(0), u.dim(0)}; }
  State step(const Var& x, const State& s) const {
    const Var h = tanh(linear(x, w) + linear(s[0], u) * s[1]);
    return State(h, h);
  }
};

// Returns the outputs, first and second derivatives of an unrolled sequence.
std::vector<Tensor> unrolled(const std::vector<Var>& parameters, const Tensor& xs,
                             const auto& make_cell, const auto& initial,
                             const UnrollOptions& options) {
  std::optional<decltype(make_cell())> cell;  // outlives the backward pass
  return derivatives(parameters, [&] {
    cell.emplace(make_cell());
    auto [ys, last] = unroll(*cell, Var(xs), initial(), options);
    Results all{ys};
    for (const Var& part : last) all.push_back(part);
    return all;
  });
}

}  // namespace

TEST_CASE("segments have the stored run's second order where two parts of a state are one Var") {
  const Var w = parameter(random_tensor({4, 3}, 1)), u = parameter(random_tensor({4, 4}, 2));
  const Var h0 = parameter(random_tensor({2, 4}, 3));
  const auto cell = [&] { return TwinStateCell{w, u}; };
  const auto initial = [&] {
    const Var h = tanh(h0);
    return State<2>(h, h);
  };
  const Tensor xs = random_tensor({5, 2, 3}, 4);
  const auto stored = unrolled({w, u, h0}, xs, cell, initial, {});
  for (const std::int64_t steps : {1, 2, 4}) {
    const auto again = unrolled({w, u, h0}, xs, cell, initial, {.recompute = {.steps = steps}});
    for (std::size_t i = 0; i < stored.size(); ++i)
      CHECK(test::distance(stored[i], again[i]) < 1e-11);
  }
}

TEST_CASE("segments of no sequences or no steps share an initial state") {
  Random random(1);
  const LstmCell lstm({.input = 3, .hidden = 4, .dtype = DType::float64}, random);
  const std::vector<Var> parameters = vars_of(lstm);
  for (const std::int64_t n : {0, 2}) {
    for (const std::int64_t t : {0, 5}) {
      if (n > 0 && t > 0) continue;
      CAPTURE(n);
      CAPTURE(t);
      const Var h0 = parameter(random_tensor({n, 4}, 3));
      std::vector<Var> all = parameters;
      all.push_back(h0);
      const auto initial = [&] {
        const Var h = tanh(h0);
        return State<2>(h, h);
      };
      const Tensor xs = random_tensor({t, n, 3}, 4);
      const auto stored = unrolled(all, xs, [&] { return lstm; }, initial, {});
      for (const std::int64_t steps : {1, 2}) {
        const auto again =
            unrolled(all, xs, [&] { return lstm; }, initial, {.recompute = {.steps = steps}});
        for (std::size_t i = 0; i < stored.size(); ++i)
          CHECK(test::distance(stored[i], again[i]) == 0);
      }
    }
  }
}

TEST_CASE("segments use weights that are made by operations") {
  const RecurrentOptions sizes{.input = 3, .hidden = 4, .dtype = DType::float64};
  Random random(1);
  const LstmCell lstm(sizes, random);
  const std::vector<Var> parameters = vars_of(lstm);
  const auto scaled = [&] {
    LstmCell cell = lstm;
    cell.w.weight_ih = lstm.w.weight_ih * 0.9;
    cell.w.weight_hh = tanh(lstm.w.weight_hh);
    cell.w.bias_ih = lstm.w.bias_ih * 2.0;
    return cell;
  };
  const Tensor xs = random_tensor({7, 2, 3}, 4);
  for (const bool reverse : {false, true}) {
    const auto stored =
        unrolled(parameters, xs, scaled, [] { return LstmCell::State(); }, {.reverse = reverse});
    for (const std::int64_t steps : {1, 3}) {
      const auto again = unrolled(parameters, xs, scaled, [] { return LstmCell::State(); },
                                  {.reverse = reverse, .recompute = {.steps = steps}});
      for (std::size_t i = 0; i < stored.size(); ++i)
        CHECK(test::distance(stored[i], again[i]) < 1e-11);
    }
  }
}

TEST_CASE("segments of one group have the stored run's bits with a weight made by operations") {
  Random random(1);
  const LstmCell lstm({.input = 5, .hidden = 17}, random);
  const Tensor xs = random_tensor({35, 32, 5}, 4, DType::float32);
  const auto gradients = [&](std::int64_t steps) {
    std::vector<Tensor> all;
    for (const Var& p : vars_of(lstm)) p.zero_grad();
    Tape tape;
    LstmCell cell = lstm;
    cell.w.weight_ih = lstm.w.weight_ih * 0.9;
    cell.w.weight_hh = lstm.w.weight_hh * 0.9;
    const auto [ys, last] = unroll(cell, Var(xs), {}, {.recompute = {.steps = steps}});
    tape.backward(sum(square(ys)) + sum(last[1]));
    for (const Var& p : vars_of(lstm)) all.push_back(p.grad().value());
    return all;
  };
  const auto stored = gradients(0), again = gradients(8);
  REQUIRE(stored.size() == again.size());
  for (std::size_t i = 0; i < stored.size(); ++i) CHECK(same_bits(stored[i], again[i]));
}

}  // namespace tapeloop::nn
