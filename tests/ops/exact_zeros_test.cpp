// SPDX-License-Identifier: MIT
// An exact zero ends the chain rule in reductions, rows, recurrences and losses.
// number/chain_rule_test.cpp has the elementwise functions.
#include <array>
#include <limits>

#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("gradients of reductions and rows: a zero ends them too") {
  SUBCASE("logsumexp of a row without any possible class") {
    const Var x =
        parameter(Tensor::from(Shape{3, 2}, std::vector<double>{1, 2, -kInf, -kInf, 0, 0}));
    Tape tape;
    const Var y = exp(logsumexp(x * 2.0, {1}));
    const Var dx = tape.gradient(sum(y), {x}, {.create_graph = true})[0];
    const auto given = dx.value().to_vector<double>();
    CHECK(given[0] == doctest::Approx(2 * std::exp(2)));
    CHECK(given[1] == doctest::Approx(2 * std::exp(4)));
    CHECK(given[2] == 0);
    CHECK(given[3] == 0);
    CHECK(given[5] == doctest::Approx(2));
    const auto twice = tape.gradient(sum(dx), {x})[0].value().to_vector<double>();
    CHECK(twice[0] == doctest::Approx(4 * std::exp(2)));
    CHECK(twice[2] == 0);
    CHECK(twice[5] == doctest::Approx(4));
  }
  SUBCASE("softmax and log_softmax: an impossible class, an infinite gradient before a zero one") {
    const Var x = parameter(Tensor::from(Shape{3}, std::vector<double>{-kInf, 1, 1}));
    Tape tape;
    const auto soft = tape.gradient(sum(sqrt(softmax(x, 0))), {x}, {.create_graph = true})[0];
    CHECK(soft.value().to_vector<double>() == std::vector<double>{0, 0, 0});
    const auto hard =
        tape.gradient(sum(select(Var(Tensor::from(Shape{3}, std::vector<double>{0, 1, 1})),
                                 log_softmax(x, 0), Var(Tensor::zeros({}, DType::float64)))),
                      {x})[0];
    CHECK(hard.value().to_vector<double>() == std::vector<double>{0, 0, 0});
  }
  SUBCASE("max: an infinite gradient reaches the largest only") {
    const Var x = parameter(Tensor::from(Shape{3}, std::vector<double>{-2, 0, -1}));
    Tape tape;
    CHECK(tape.gradient(sqrt(max(x, {0})), {x})[0].value().to_vector<double>() ==
          std::vector<double>{0, kInf, 0});
  }
  SUBCASE("prod, norm and variance beside zeros") {
    const Var x = parameter(Tensor::from(Shape{3}, std::vector<double>{0, 0, 3}));
    Tape tape;
    for (const Var& y : {sqrt(prod(x, 0)), norm(sqrt(relu(x * -1.0))),
                         sum(sqrt(var(reshape(x, {3, 1}), {1}, 0)))}) {
      const Var dx = tape.gradient(y, {x}, {.retain = true})[0];
      CHECK(dx.value().to_vector<double>() == std::vector<double>{0, 0, 0});
    }
  }
  SUBCASE("cross-entropy: a class of weight 0, and an ignored row, may be impossible") {
    const Var x = parameter(
        Tensor::from(Shape{3, 3}, std::vector<double>{-kInf, 0, 0, 0, 1, 0, -kInf, -kInf, -kInf}));
    const Tensor target = Tensor::from(Shape{3}, std::vector<std::int64_t>{0, 1, -100});
    const Tensor weights = Tensor::from(Shape{3}, std::vector<double>{0, 1, 1});
    for (const double smoothing : {0.0, 0.1}) {
      Tape tape;
      const Var loss =
          cross_entropy(x, target, {.class_weights = Var(weights), .label_smoothing = smoothing});
      CHECK(std::isfinite(loss.item()));
      const auto dx = tape.gradient(loss, {x})[0].value().to_vector<double>();
      for (const double element : dx) CHECK(std::isfinite(element));
      CHECK(dx[4] < 0);
      CHECK(dx[6] == 0);
    }
  }
}

TEST_CASE("a masked sum of the states' norms over sequences of different lengths has a gradient") {
  Random random(3);
  const nn::GruCell cell({.input = 3, .hidden = 4}, random);
  const Var xs(random_tensor({3, 2, 3}, 5, DType::float32));
  const std::int64_t lengths[] = {3, 1};
  const Tensor mask =
      Tensor::from(Shape{3, 2}, std::vector<double>{1, 1, 1, 0, 1, 0}).to(DType::float32);
  std::vector<Var> parameters;
  for (const auto& p : nn::parameters(cell)) parameters.push_back(p.var);
  Tape tape;
  const auto run = nn::unroll(cell, xs, nn::GruCell::State{}, {.lengths = lengths});
  const Var norms = sqrt(sum(square(run.ys), {2}));
  const auto together = tape.gradient(sum(norms * Var(mask)), parameters, {.retain = true});
  // The same for each sequence alone.
  const auto alone = [&](std::int64_t n, std::int64_t steps) {
    const Var x(xs.value().slice(0, 0, steps).slice(1, n, n + 1).clone());
    const auto one = nn::unroll(cell, x, nn::GruCell::State{});
    return sum(sqrt(sum(square(one.ys), {2})));
  };
  const auto apart = tape.gradient(alone(0, 3) + alone(1, 1), parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    CHECK(distance(together[i].value(), apart[i].value()) < 1e-5);
  }
}

TEST_CASE("the mean CTC loss has second derivatives where one target is impossible") {
  const Tensor logits = random_tensor({3, 2, 3}, 7);
  // The second target is impossible.
  const Tensor targets = Tensor::from(Shape{2, 3}, std::vector<std::int64_t>{1, 2, 1, 1, 1, 1});
  const std::vector<std::int64_t> input{3, 3}, length{1, 3};
  const auto derivatives = [&](std::int64_t batch) {
    const Var x = parameter(logits.slice(1, 0, batch).clone());
    const std::span<const std::int64_t> in(input.data(), static_cast<std::size_t>(batch));
    const std::span<const std::int64_t> out(length.data(), static_cast<std::size_t>(batch));
    Tape tape;
    const Var loss = ctc_loss(log_softmax(x, -1), targets.slice(0, 0, batch), in, out,
                              {.reduce = Reduce::mean}) *
                     static_cast<double>(batch);
    const Var dx = tape.gradient(loss, {x}, {.create_graph = true})[0];
    const Var ddx = tape.gradient(sum(square(dx)), {x})[0];
    return std::array<Tensor, 2>{dx.value(), ddx.value()};
  };
  const auto both = derivatives(2);
  const auto possible = derivatives(1);
  for (std::size_t order = 0; order < 2; ++order) {
    CHECK(distance(both[order].slice(1, 0, 1), possible[order]) < 1e-12);
    for (const double x : both[order].slice(1, 1, 2).to_vector<double>()) CHECK(x == 0);
  }
}

}  // namespace tapeloop::test
