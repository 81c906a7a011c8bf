// SPDX-License-Identifier: MIT
// Derivatives of derivatives through create_graph, against closed forms. First derivatives are in tape_test.cpp.
#include "support.h"

namespace tapeloop::test {
namespace {

using Values = std::vector<double>;

Var scalar(double value) { return parameter(Tensor::full({}, value, DType::float64)); }
Values values(const Var& x) { return x.value().to_vector<double>(); }

}  // namespace

TEST_CASE("create_graph gives second derivatives: x^3 by hand") {
  const Var x = scalar(1.5);
  Tape tape;
  const Var y = x * x * x;
  const Var dy = tape.gradient(y, {x}, {.create_graph = true})[0];
  const Var d2y = tape.gradient(dy, {x}, {.create_graph = true})[0];
  CHECK(dy.item() == doctest::Approx(3 * 1.5 * 1.5).epsilon(1e-15));
  CHECK(d2y.item() == doctest::Approx(6 * 1.5).epsilon(1e-15));
}

TEST_CASE("mixed second derivatives agree with closed forms") {
  const Var x = scalar(0.7);
  const Var y = scalar(-1.3);
  Tape tape;
  const Var f = x * x * y + sin(x * y);
  const std::vector<Var> first = tape.gradient(f, {x, y}, {.create_graph = true});
  const Values by_x = {tape.gradient(first[0], {x}, {.retain = true})[0].item(),
                       tape.gradient(first[0], {y}, {.retain = true})[0].item()};
  const Values by_y = {tape.gradient(first[1], {x}, {.retain = true})[0].item(),
                       tape.gradient(first[1], {y})[0].item()};
  const double s = std::sin(0.7 * -1.3);
  const double c = std::cos(0.7 * -1.3);
  CHECK(distance(by_x, Values{2 * -1.3 - 1.3 * 1.3 * s, 2 * 0.7 + c + 0.7 * 1.3 * s}) < 1e-15);
  CHECK(distance(by_y, Values{2 * 0.7 + c + 0.7 * 1.3 * s, -0.7 * 0.7 * s}) < 1e-15);
}

TEST_CASE("the Hessian of logsumexp is diag(p) - p p^T, and softmax's rows say the same") {
  const Var x = parameter(Tensor::from<double>({3}, {0.3, -1.2, 0.8}));
  Tape tape;
  const Var p = tape.gradient(logsumexp(x, {0}), {x}, {.create_graph = true})[0];
  const Var q = softmax(x);
  CHECK(distance(p.value(), q.value()) < 1e-15);
  for (int i = 0; i < 3; ++i) {
    const Values row = values(tape.gradient(select_index(p, 0, i), {x}, {.retain = true})[0]);
    const Values same = values(tape.gradient(select_index(q, 0, i), {x}, {.retain = true})[0]);
    for (int j = 0; j < 3; ++j) {
      const double pi = values(q)[static_cast<std::size_t>(i)];
      const double pj = values(q)[static_cast<std::size_t>(j)];
      CHECK(row[static_cast<std::size_t>(j)] ==
            doctest::Approx((i == j ? pi : 0) - pi * pj).epsilon(1e-13));
    }
    CHECK(distance(row, same) < 1e-15);
  }
}

TEST_CASE("a gradient penalty trains through backward, with create_graph in grad() as well") {
  const Var w = scalar(0.5);
  const Var x = scalar(2);
  {
    Tape tape;
    const Var slope =
        tape.gradient(tanh(w * x), {x}, {.create_graph = true})[0];  // w (1 - tanh^2(w x))
    tape.backward(slope * slope);
  }
  const double t = std::tanh(1.0);
  const double slope = 0.5 * (1 - t * t);
  CHECK(w.grad().item() ==
        doctest::Approx(2 * slope * ((1 - t * t) - 0.5 * 2 * 2 * t * (1 - t * t))).epsilon(1e-13));
  w.zero_grad();
  for (int i = 1; i <= 2; ++i) {  // the gradient of the first tape is added to on the second
    Tape tape;
    tape.backward(w * w * w, {.create_graph = true});
    CHECK(w.grad().item() == doctest::Approx(i * 0.75).epsilon(1e-15));
    CHECK(tape.gradient(w.grad(), {w})[0].item() == doctest::Approx(3).epsilon(1e-15));
  }
}

}  // namespace tapeloop::test
