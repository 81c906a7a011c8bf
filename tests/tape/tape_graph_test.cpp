// SPDX-License-Identifier: MIT
// Derivatives of derivatives by create_graph, against closed forms. tape_test.cpp tests first
// derivatives.
#include "tapeloop/autograd/tape/recompute.h"
#include "tests/support.h"

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
    // w (1 - tanh^2(w x))
    const Var slope = tape.gradient(tanh(w * x), {x}, {.create_graph = true})[0];
    tape.backward(slope * slope);
  }
  const double t = std::tanh(1.0);
  const double slope = 0.5 * (1 - t * t);
  CHECK(w.grad().item() ==
        doctest::Approx(2 * slope * ((1 - t * t) - 0.5 * 2 * 2 * t * (1 - t * t))).epsilon(1e-13));
  w.zero_grad();
  for (int i = 1; i <= 2; ++i) {  // the second round adds to the gradient of the first tape
    Tape tape;
    tape.backward(w * w * w, {.create_graph = true});
    CHECK(w.grad().item() == doctest::Approx(i * 0.75).epsilon(1e-15));
    CHECK(tape.gradient(w.grad(), {w})[0].item() == doctest::Approx(3).epsilon(1e-15));
  }
}

// --- user operations whose backward function does not use the tape ---

namespace {

// x^2, with a backward function from the test.
template <class Backward>
Var square_by(const Var& x, Backward backward) {
  return record("my_square", {&x}, (x.detach() * x.detach()).value().clone(), std::move(backward));
}

Var first_derivative(Tape& tape, const Var& y, const Var& x) {
  return tape.gradient(y, {x}, {.create_graph = true})[0];
}

}  // namespace

TEST_CASE("a backward function that leaves the tape is refused while the pass is recorded") {
  const Var x = scalar(3);
  const auto on_tensors = [x](const Var& dy, Grads& grads) {
    grads.add(0, Var(Tensor::full({}, 2 * x.item() * dy.item(), DType::float64)));
  };
  const char* text =
      "my_square: its backward function computed the gradient of input 0 on tensors|"
      "second derivatives would silently be 0|once_differentiable";
  {  // the first derivative needs no history
    Tape tape;
    CHECK(tape.gradient(square_by(x, on_tensors), {x})[0].item() == 6);
  }
  // dy is a constant, or has its own history.
  Tape tape;
  CHECK(throws_with(text, [&] { first_derivative(tape, square_by(x, on_tensors), x); }));
  CHECK(throws_with(text, [&] { first_derivative(tape, square_by(x, on_tensors) * x, x); }));
  CHECK(throws_with(text, [&] { first_derivative(tape, sin(square_by(x, on_tensors)), x); }));
  CHECK(throws_with(
      "my_square: its backward function called defer() while create_graph is on|call add()", [&] {
        first_derivative(tape,
                         square_by(x,
                                   [](const Var& dy, Grads& grads) {
                                     grads.defer(0, dy, dy,
                                                 [](std::span<const detail::Deferred>, Tensor&) {});
                                   }),
                         x);
      }));
}

TEST_CASE("a linear operation's gradient may rightly be a constant") {
  const Var x = scalar(3);
  const auto twice = [](const Var& v) {
    return record("twice", {&v}, (v.detach() * 2.0).value().clone(),
                  [](const Var& dy, Grads& grads) { grads.add(0, dy * 2.0); });
  };
  Tape tape;
  const Var dx = first_derivative(tape, twice(x), x);
  CHECK(dx.item() == 2);
  CHECK_FALSE(dx.requires_grad());
  const Var d2 = first_derivative(tape, twice(x * x), x);
  CHECK(tape.gradient(d2, {x})[0].item() == 4);
}

TEST_CASE("a recorded pass calls each backward function once") {
  const Var x = scalar(3);
  int calls = 0;
  const auto twice = [&](const Var& v) {
    return record("twice", {&v}, (v.detach() * 2.0).value().clone(),
                  [&calls](const Var& dy, Grads& grads) {
                    ++calls;
                    grads.add(0, dy * 2.0);
                  });
  };
  Tape tape;
  const Var dx = first_derivative(tape, twice(x), x);
  CHECK(calls == 1);
  CHECK(dx.item() == 2);
  CHECK_FALSE(dx.requires_grad());
  CHECK(
      throws_with("pass {.create_graph = true}|backward: the loss does not depend on any parameter",
                  [&] { tape.gradient(dx * 3.0, {x}); }));
  tape.backward(twice(x), {.create_graph = true});
  CHECK(calls == 2);
  CHECK_FALSE(x.grad().requires_grad());
}

TEST_CASE("with create_graph a backward function may use up what it captured") {
  const Var x = scalar(3);
  const auto square_once = [&](const Var& v) {
    return square_by(v, [kept = v * 2.0](const Var& dy, Grads& grads) mutable {
      const Var used = std::move(kept);
      kept = Var();
      grads.add(0, dy * used);
    });
  };
  const auto twice = [&](const Var& v) {
    return record(
        "twice", {&v}, (v.detach() * 2.0).value().clone(),
        [two = Var(Tensor::full({}, 2, DType::float64))](const Var& dy, Grads& grads) mutable {
          const Var used = std::move(two);
          two = Var();
          grads.add(0, dy * used);
        });
  };
  Tape tape;
  CHECK(first_derivative(tape, twice(x), x).item() == 2);
  const Var dx = first_derivative(tape, square_once(x), x);
  CHECK(dx.item() == 6);
  CHECK(tape.gradient(dx, {x})[0].item() == 2);
}

TEST_CASE("with create_graph a backward function may ask for a gradient") {
  const Var x = scalar(3);
  Tape tape;
  // y = 2 x, whose slope the backward function finds by differentiating v * 2.
  const auto twice = [&](const Var& v) {
    return record("twice", {&v}, (v.detach() * 2.0).value().clone(),
                  [v](const Var& dy, Grads& grads) {
                    Tape* const current = Tape::current();
                    const Var slope =
                        current->gradient(v * 2.0, {v}, {.retain = true, .create_graph = true})[0];
                    grads.add(0, dy * slope);
                  });
  };
  CHECK(first_derivative(tape, twice(x), x).item() == 2);
  const Var second = first_derivative(tape, twice(x * x), x);
  CHECK(second.item() == 12);
  CHECK(tape.gradient(second, {x})[0].item() == 4);
}

TEST_CASE("a gradient by an upstream gradient that is a constant is refused, not zero") {
  const Var x = scalar(3);
  Tape tape;
  const auto operation = record("asks", {&x}, x.value().clone(), [&x](const Var& dy, Grads& grads) {
    grads.add(0, Tape::current()->gradient(dy * x, {dy}, {.create_graph = true})[0] * dy);
  });
  CHECK(throws_with("gradient: an x is a constant", [&] { first_derivative(tape, operation, x); }));
}

TEST_CASE("a gradient that is always zero is not given, and the message says so") {
  const Var x = scalar(3);
  const auto round = [&](const Var& v, bool gives) {
    return record("round", {&v}, v.value().clone(), [gives](const Var& dy, Grads& grads) {
      if (gives) grads.add(0, Var(Tensor::zeros({}, dy.dtype())));
    });
  };
  Tape tape;
  CHECK(throws_with("round: its backward function|zero for every input, add nothing",
                    [&] { first_derivative(tape, round(x, true), x); }));
  const Var dx = first_derivative(tape, round(x, false) * x, x);  // the derivative of the factor x
  CHECK(dx.item() == 3);
  CHECK(first_derivative(tape, round(x * x, false), x).item() == 0);
}

TEST_CASE("recompute() within a recorded pass takes an upstream gradient") {
  const Var x = scalar(3);
  Tape tape;
  const auto cube =
      record("cube", {&x}, (x.detach() * x.detach() * x.detach()).value().clone(),
             [&x](const Var& dy, Grads& grads) {
               grads.add(0, recompute(PoolVector<Var>{x}, [dy](std::span<const Var> in) {
                           return PoolVector<Var>{in[0] * in[0] * dy * 3.0};
                         })[0]);
             });
  const Var dx = first_derivative(tape, cube, x);
  CHECK(dx.item() == 27);
  CHECK(tape.gradient(dx, {x}, {.retain = true})[0].item() == 18);
  const Var second = first_derivative(tape, dx, x);
  CHECK(second.item() == 18);
  CHECK(tape.gradient(second, {x})[0].item() == 6);
}

TEST_CASE("an operation of several results gives each input what belongs to it") {
  const Var x = scalar(3), y = scalar(5);
  // (x, y) -> (2 x, y^2): the gradient of x is a constant if that of the first result is one.
  const auto pair = [&](bool leaves) {
    PoolVector<Var> results{Var((x.detach() * 2.0).value()),
                            Var((y.detach() * y.detach()).value())};
    const std::array<const Var*, 2> inputs = {&x, &y};
    Recorder::record("pair", inputs, results, [y, leaves](std::span<const Var> dys, Grads& grads) {
      if (dys[0].defined()) grads.add(0, leaves ? dys[0].detach() * 2.0 : dys[0] * 2.0);
      if (dys[1].defined()) grads.add(1, dys[1] * y * 2.0);
    });
    return results;
  };
  for (const bool leaves : {false, true}) {
    CAPTURE(leaves);
    Tape tape;
    const PoolVector<Var> results = pair(leaves);
    const Var loss = results[0] + exp(results[1]);
    const auto first = [&] { return tape.gradient(loss, {x, y}, {.create_graph = true}); };
    if (leaves) {
      CHECK(throws_with("pair: its backward function computed the gradient of input 0", first));
      continue;
    }
    const std::vector<Var> d = first();
    CHECK(d[0].item() == 2);
    CHECK(d[1].item() == doctest::Approx(10 * std::exp(25.0)));
    CHECK(tape.gradient(d[1], {y})[0].item() == doctest::Approx(102 * std::exp(25.0)));
  }
}

TEST_CASE("once_differentiable: the first derivative with create_graph, and no second one") {
  const Var x = scalar(3), w = scalar(2);
  const auto once = [](const Var& v) {
    return square_by(v, once_differentiable([v](const Var& dy, Grads& grads) {
                       grads.add(0,
                                 Var(Tensor::full({}, 2 * v.item() * dy.item(), DType::float64)));
                     }));
  };
  {
    Tape tape;
    tape.backward(once(x));
    CHECK(x.grad().item() == 6);
    x.zero_grad();
  }
  Tape tape;
  const Var loss = once(x) + once(x) * w + w * w * w;
  const std::vector<Var> d = tape.gradient(loss, {x, w}, {.create_graph = true});
  CHECK(d[0].item() == 18);
  CHECK(d[1].item() == 9 + 12);
  // d(dw)/dw does not need this gradient; d(dw)/dx is the first derivative of the operation itself.
  const std::vector<Var> dw = tape.gradient(d[1], {w, x}, {.retain = true});
  CHECK(dw[0].item() == 12);
  CHECK(dw[1].item() == 6);
  CHECK(throws_with("my_square: a second derivative goes through its gradient|once_differentiable",
                    [&] { tape.gradient(d[0], {x}, {.retain = true}); }));
  CHECK(throws_with("my_square: a second derivative",
                    [&] { tape.gradient(d[0], {w}, {.retain = true}); }));
}

}  // namespace tapeloop::test
