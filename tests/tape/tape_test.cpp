// SPDX-License-Identifier: MIT
// The tape: what it records, where backward adds gradients, and every misuse. tape_memory_test.cpp,
// tape_threads_test.cpp and tape_graph_test.cpp test memory, threads and derivatives of
// derivatives.
#include "tests/support.h"

#include <memory>

namespace tapeloop::test {
namespace {

using Values = std::vector<double>;

Var scalar(double value) { return parameter(Tensor::full({}, value, DType::float64)); }
Var weights(const Shape& shape, std::uint64_t seed = kSeed) {
  return parameter(random_tensor(shape, seed));
}
Values values(const Var& x) { return x.value().to_vector<double>(); }

struct Failing : std::runtime_error {
  Failing() : std::runtime_error("this operation fails") {}
};
// y = x, with a backward that throws while `armed`.
Var fragile(const Var& x, const bool& armed) {
  return record("fragile", {&x}, x.value().clone(), [&armed](const Var& dy, Grads& grads) {
    if (armed) throw Failing();
    grads.add(0, dy);
  });
}

}  // namespace

TEST_CASE("backward adds up gradients when a variable is used many times") {
  const Var x = scalar(3);
  Tape tape;
  Var y = x;
  for (int i = 0; i < 4; ++i) y = y * x;  // x^5
  tape.backward(y + x * 2.0);
  CHECK(x.grad().item() == 5 * 81 + 2);
}

TEST_CASE("two backward passes add up in grad(), as in PyTorch, until zero_grad()") {
  const Var x = scalar(3);
  for (int i = 1; i <= 3; ++i) {
    Tape tape;
    tape.backward(x * x);
    CHECK(x.grad().item() == 6.0 * i);
  }
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  {
    Tape tape;
    const Var y = x * x;
    tape.backward(y, {.retain = true});
    tape.backward(y);
  }
  CHECK(x.grad().item() == 12);
}

TEST_CASE("a gradient that was handed out does not change when later ones are added") {
  const Var w = weights({2, 3});
  const Var dy(Tensor::full({2, 3}, 1, DType::float64));
  const auto pass = [&] {
    Tape tape;
    tape.backward(linear(Var(Tensor::zeros({2, 1}, DType::float64)),
                         Var(Tensor::zeros({3, 1}, DType::float64)), w),
                  dy);
  };
  pass();
  const Tensor seen = w.grad().value().clone();
  w.grad().value().fill(5);  // like clipping in place
  CHECK(values(dy) == Values(6, 1.0));
  pass();
  CHECK(values(w.grad()) == Values(6, 6.0));
  CHECK(values(Var(seen)) == Values(6, 1.0));
}

TEST_CASE("detach and stop cut the graph: what lies before receives no gradient") {
  const Var x = scalar(2);
  const Var w = scalar(5);
  Tape tape;
  const Var early = x * x * w;
  const Var late = early.detach() * w + stop(x) * 3.0;
  CHECK_FALSE(early.detach().requires_grad());
  tape.backward(late);
  CHECK(w.grad().item() == 20);
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a second backward needs {.retain = true} in the first, and says so") {
  const Var x = scalar(2);
  {
    Tape tape;
    const Var y = exp(x);
    tape.backward(y);
    CHECK(
        throws_with("backward: this tape was played back already|pass {.retain = true} to the "
                    "first call|start a new tape",
                    [&] { tape.backward(y); }));
    CHECK(throws_with("played back already", [&] { tape.gradient(y, {x}); }));
  }
  x.zero_grad();
  Tape tape;
  const Var y = exp(x);
  for (int i = 1; i <= 3; ++i) tape.backward(y, {.retain = i < 3});
  CHECK(x.grad().item() == doctest::Approx(3 * std::exp(2.0)).epsilon(1e-14));
  CHECK(throws_with("played back already", [&] { tape.backward(y); }));
}

TEST_CASE(
    "gradient() returns derivatives by parameters and by computed values, and leaves every grad() "
    "alone") {
  const Var x = scalar(2);
  const Var unused = weights({2, 2});
  Tape tape;
  const Var y = x * x;
  const Var z = y * y + x;
  const std::vector<Var> gradients = tape.gradient(z, {x, y, unused, z});
  CHECK(gradients[0].item() == 4 * 8 + 1);
  CHECK(gradients[1].item() == 8);
  CHECK(values(gradients[2]) == Values(4, 0.0));
  CHECK(gradients[3].item() == 1);
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("the gradient of a vector takes an upstream gradient of its shape and type") {
  const Var w = weights({3});
  const Var dy(Tensor::from<double>({3}, {1, -2, 0.5}));
  {
    Tape tape;
    tape.backward(square(w), dy);
  }
  CHECK(distance(w.grad().value(), (w.detach() * 2.0 * dy).value()) == 0);
  Tape tape;
  const Var y = square(w);
  CHECK(throws_with("backward: the upstream gradient is float64[2], the output float64[3]",
                    [&] { tape.backward(y, Var(Tensor::zeros({2}, DType::float64))); }));
  CHECK(throws_with("the upstream gradient is float32[3]",
                    [&] { tape.backward(y, Var(Tensor::zeros({3}))); }));
  CHECK(throws_with("undefined variable", [&] { tape.backward(y, Var()); }));
  tape.backward(y, dy);  // none of these consumed the tape
}

TEST_CASE(
    "a loss must be a scalar that depends on a parameter, and the message says how to get there") {
  const Var w = weights({2, 1});
  Tape tape;
  CHECK(throws_with("backward: loss must be a scalar, got [2, 1]; reduce it first, e.g. mean(loss)",
                    [&] { tape.backward(exp(w)); }));
  CHECK(throws_with("gradient: loss must be a scalar", [&] { tape.gradient(exp(w), {w}); }));
  CHECK(throws_with("backward: loss must be a scalar, got an undefined variable",
                    [&] { tape.backward(Var()); }));
  const Var constant(Tensor::full({}, 1, DType::float64));
  CHECK(throws_with(
      "backward: the loss does not depend on any parameter recorded on this tape|parameter(...)",
      [&] { tape.backward(constant * 2.0); }));
  CHECK(throws_with("gradient: an x is a constant (float64[])|parameter(...)",
                    [&] { tape.gradient(sum(w), {constant}); }));
  CHECK(throws_with("undefined variable", [&] { tape.gradient(sum(w), {Var()}); }));
  tape.backward(sum(w));
  CHECK(values(w.grad()) == Values{1, 1});
}

TEST_CASE("a parameter may be its own loss, and one element of any rank is a scalar") {
  const Var x = scalar(3);
  {
    Tape tape;
    tape.backward(x);
  }
  CHECK(x.grad().item() == 1);
  const Var w = weights({1, 1});
  Tape tape;
  tape.backward(w * 2.0);
  CHECK(values(w.grad()) == Values{2});
}

TEST_CASE(
    "a variable of an ended tape is refused on a new one, and is just its value without one") {
  const Var x = scalar(2);
  Var old;
  {
    Tape tape;
    old = x * x;
  }
  CHECK((old * 2.0).item() == 8);
  CHECK_FALSE((old * 2.0).requires_grad());
  {
    Tape tape;
    CHECK(throws_with(
        "mul: an input float64[] was recorded on another tape, which has ended|x.detach()",
        [&] { old * 2.0; }));
    CHECK((old.detach() * x).item() == 8);
    CHECK(throws_with("does not depend on any parameter recorded on this tape",
                      [&] { tape.backward(old); }));
    CHECK(values(tape.gradient(x * 3.0, {old})[0]) == Values{0});
  }
}

TEST_CASE(
    "nested tapes: the inner one records, the outer one rests, and neither takes the other's "
    "values") {
  const Var x = scalar(2);
  Tape outer;
  const Var y = x * x;
  {
    Tape inner;
    CHECK(Tape::current() == &inner);
    CHECK(throws_with("recorded on another tape", [&] { y * 2.0; }));
    CHECK(
        throws_with("backward: called on a tape that is not the innermost one in this thread; end "
                    "the inner tape first",
                    [&] { outer.backward(y); }));
    inner.backward(x * 5.0);
  }
  CHECK(Tape::current() == &outer);
  CHECK(x.grad().item() == 5);
  outer.backward(y);
  CHECK(x.grad().item() == 9);
}

TEST_CASE("tapes on the heap may end in any order") {
  const Var x = scalar(2);
  auto tape = std::make_unique<Tape>();
  for (int i = 0; i < 3; ++i) {
    tape = std::make_unique<Tape>();  // the new one begins before the old one ends
    REQUIRE(Tape::current() == tape.get());
    x.zero_grad();
    tape->backward(x * x);
    CHECK(x.grad().item() == 4);
  }
  tape.reset();
  CHECK(Tape::current() == nullptr);
  auto a = std::make_unique<Tape>();
  auto b = std::make_unique<Tape>();
  auto c = std::make_unique<Tape>();
  b.reset();
  CHECK(Tape::current() == c.get());
  a.reset();
  c.reset();
  CHECK(Tape::current() == nullptr);
}

TEST_CASE(
    "PauseRecording records nothing while it lives, also nested and where an exception ends it") {
  const Var x = scalar(2);
  Tape tape;
  {
    const PauseRecording pause;
    CHECK(Tape::current() == nullptr);
    { const PauseRecording deeper; }
    CHECK_FALSE((x * x).requires_grad());
  }
  CHECK(tape.size() == 0);
  try {
    const PauseRecording pause;
    throw Failing();
  } catch (const Failing&) {
  }
  CHECK(Tape::current() == &tape);
  const Var y = x * x;
  CHECK(tape.size() == 1);
  const PauseRecording pause;
  tape.backward(y);  // runs what was recorded before
  CHECK(x.grad().item() == 4);
}

TEST_CASE("an exception while recording leaves the tape as it was") {
  const Var w = weights({2, 3});
  Tape tape;
  const Var y = sum(w * w);
  const std::size_t before = tape.size();
  CHECK_THROWS_AS(w + Var(random_tensor({4})), Error);
  CHECK_THROWS_AS(softmax(reshape(w, {0, 2, 3})), Error);
  CHECK_THROWS_AS(log_softmax(w, 5), Error);
  CHECK(tape.size() == before);
  CHECK(Tape::current() == &tape);
  tape.backward(y);
  CHECK(distance(w.grad().value(), (w.detach() * 2.0).value()) == 0);
}

TEST_CASE(
    "an exception inside backward leaves the parameters alone, and no half-played tape behind") {
  const Var x = scalar(2);
  bool armed = true;
  {
    Tape tape;
    const Var y = fragile(x * x, armed) * 3.0;
    CHECK_THROWS_AS(tape.backward(y), Failing);
    CHECK_FALSE(x.grad().defined());
    CHECK(Tape::current() == &tape);
    CHECK(throws_with("played back already", [&] { tape.backward(y); }));
  }
  {
    Tape tape;
    const Var y = fragile(x * x, armed) * 3.0;
    CHECK_THROWS_AS(tape.backward(y, {.retain = true}), Failing);
    armed = false;
    tape.backward(y);  // retained: all entries are still there
    CHECK(x.grad().item() == 12);
  }
  Tape tape;
  tape.backward(x * 1.0);
  CHECK(x.grad().item() == 13);
}

TEST_CASE("a backward function that gives a wrong shape is told so") {
  const Var w = weights({2, 3});
  Tape tape;
  const Var y = record("broken", {&w}, w.value().clone(),
                       [](const Var& dy, Grads& grads) { grads.add(0, sum(dy)); });
  CHECK(throws_with("backward: a gradient [] was added to a value [2, 3]|give its input's shape",
                    [&] { tape.backward(sum(y)); }));
}

TEST_CASE("a backward function that gives a wrong element type is told so") {
  const Var w = weights({2, 3});
  Tape tape;
  const Var y = record("broken", {&w}, w.value().clone(), [](const Var& dy, Grads& grads) {
    grads.add(0, Var(dy.value().to(DType::float32)));
  });
  CHECK(throws_with("backward: a gradient of float32 was added to a value of float64|to(dx, ",
                    [&] { tape.backward(sum(y)); }));
  CHECK(!w.grad().defined());
}

TEST_CASE(
    "parts of a whole, the whole itself, and weights shared over steps all add up in one "
    "gradient") {
  const Var w = weights({4, 3});
  const Var x(random_tensor({2, 3}, 3));
  const auto loss = [&] {
    Var total = sum(square(linear(x, w))) + sum(exp(w) * 0.1);
    for (int i = 0; i < 4; ++i)
      total = total + sum(sin(select_index(w, 0, i))) * static_cast<double>(i + 1);
    total = total + sum(square(slice(w, 1, 0, 3, 2))) +
            sum(square(linear(tanh(linear(x, w)), transpose(w))));
    return total;
  };
  const GradcheckReport report = gradcheck(loss, {{"w", w}}, {.second_order = true});
  CHECK_MESSAGE(report.ok, report.str());
}

TEST_CASE(
    "parameters refuse what cannot be: integers, other shapes, gradients of computed values") {
  const Var w = weights({2});
  CHECK(throws_with("parameter: int64[2] cannot have a gradient",
                    [] { parameter(Tensor::zeros({2}, DType::int64)); }));
  CHECK(throws_with("parameter: an undefined tensor", [] { parameter(Tensor()); }));
  CHECK(throws_with(
      "set_value: the new value is float64[3], the parameter float64[2]; shapes must be equal",
      [&] { w.set_value(random_tensor({3})); }));
  CHECK(throws_with("set_value: int64[2] cannot have a gradient",
                    [&] { w.set_value(Tensor::zeros({2}, DType::int64)); }));
  CHECK(throws_with("set_value: an undefined tensor", [&] { scalar(1).set_value(Tensor()); }));
  CHECK(throws_with("set_grad: the gradient is float64[3], the parameter float64[2]",
                    [&] { w.set_grad(Var(random_tensor({3}))); }));
  CHECK(throws_with("grad: only a parameter has a gradient of its own|tape.gradient(loss, {x})",
                    [&] { w.detach().grad(); }));
  CHECK(throws_with("zero_grad: only a parameter", [] { Var().zero_grad(); }));
  w.set_grad(Var(random_tensor({2})));
  w.set_value(random_tensor({2}).to(DType::float32));
  CHECK(w.dtype() == DType::float32);
  CHECK_FALSE(w.grad().defined());
}

}  // namespace tapeloop::test
