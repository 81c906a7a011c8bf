// SPDX-License-Identifier: MIT
// The chain rule at its edges: an exact zero ends it, even against infinity or NaN; pow, division
// and signed zeros. ops_test.cpp has gradients at ordinary points.
#include <array>
#include <limits>

#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

using Function = std::function<Var(const Var&)>;
using Function2 = std::function<Var(const Var&, const Var&)>;

Var number(double x) { return parameter(Tensor::full({}, x, DType::float64)); }

double first(const Function& f, double at) {
  const Var x = number(at);
  Tape tape;
  return tape.gradient(f(x), {x})[0].item();
}
double second(const Function& f, double at) {
  const Var x = number(at);
  Tape tape;
  const Var dx = tape.gradient(f(x), {x}, {.create_graph = true})[0];
  return tape.gradient(dx, {x})[0].item();
}
// Returns d/da and d/db of f, then their derivatives: {a, b, aa, ab, ba, bb}.
std::array<double, 6> all_derivatives(const Function2& f, double at_a, double at_b) {
  const Var a = number(at_a);
  const Var b = number(at_b);
  Tape tape;
  const auto by = tape.gradient(f(a, b), {a, b}, {.create_graph = true});
  const auto by_a = tape.gradient(by[0], {a, b}, {.retain = true});
  const auto by_b = tape.gradient(by[1], {a, b});
  return {by[0].item(),   by[1].item(),   by_a[0].item(),
          by_a[1].item(), by_b[0].item(), by_b[1].item()};
}

struct Unused {  // the caller does not use the second result
  static constexpr const char* name = "unused";
  TL_HD auto operator()(auto x) const { return outputs(x * x, sqrt(x)); }
};
struct HiddenRoot {  // one formula: relu(x) sqrt(y)
  TL_HD auto operator()(auto x, auto y) const { return select(x <= 0.0, 0.0, x) * sqrt(y); }
};
struct WrittenSigmoid {
  TL_HD auto operator()(auto x) const { return 1.0 / (1.0 + exp(-x)); }
};
struct Saturated {
  TL_HD auto operator()(auto x) const { return tanh(exp(x)); }
};

struct RootStep {  // a step of a recurrent network
  TL_HD auto operator()(auto z) const { return sqrt(select(z <= 0.0, 0.0, z)); }
};

// --- functions that are flat at a point, and functions that are steep there ---

struct Flat {
  std::string name;
  double at;
  Function f;
  bool flat_twice;  // the second derivative is 0 there too
};
std::vector<Flat> flat_functions() {
  const auto constant = [](double x) { return Var(Tensor::full({}, x, DType::float64)); };
  return {
      {"relu", -1, [](const Var& x) { return relu(x); }, true},
      {"leaky_relu", -1, [](const Var& x) { return leaky_relu(x, 0); }, true},
      {"clamp", -1, [](const Var& x) { return clamp(x, 0, 9); }, true},
      {"clamp above", 10, [](const Var& x) { return clamp(x, 0, 9); }, true},
      {"max", -1, [=](const Var& x) { return max(x, constant(0)); }, true},
      {"min", 1, [=](const Var& x) { return min(x, constant(0)); }, true},
      {"select", -1, [=](const Var& x) { return select(constant(0), x, constant(0)); }, true},
      {"x * 0", 3, [](const Var& x) { return x * 0.0; }, true},
      {"x * Var 0", 3, [=](const Var& x) { return x * constant(0); }, true},
      {"x / infinity", 3, [](const Var& x) { return x / kInf; }, true},
      {"pow 0", 3, [](const Var& x) { return pow(x, 0.0); }, true},
      {"pow Var 0", 3, [=](const Var& x) { return pow(x, constant(0)); }, true},
      {"pow 0 at 0", 0, [](const Var& x) { return pow(x, 0.0); }, true},
      {"pow 2", 0, [](const Var& x) { return pow(x, 2.0); }, false},
      {"pow Var 3", 0, [=](const Var& x) { return pow(x, constant(3)); }, true},
      {"square", 0, [](const Var& x) { return square(x); }, false},
      {"x * x", 0, [](const Var& x) { return x * x; }, false},
      {"abs", 0, [](const Var& x) { return abs(x); }, true},
      {"cos", 0, [](const Var& x) { return cos(x); }, false},
      {"exp", -800, [](const Var& x) { return exp(x); }, true},
      {"softplus", -800, [](const Var& x) { return softplus(x); }, true},
      {"sigmoid", 800, [](const Var& x) { return sigmoid(x); }, true},
      {"silu", -800, [](const Var& x) { return silu(x); }, true},
      {"gelu", -60, [](const Var& x) { return gelu(x); }, true},
      {"elu", -800, [](const Var& x) { return elu(x, 1); }, true},
      {"tanh", 60, [](const Var& x) { return tanh(x); }, true},
      {"erf", 60, [](const Var& x) { return erf(x); }, true},
      {"1 / x", 1e200, [](const Var& x) { return 1.0 / x; }, true},
  };
}

struct Steep {
  std::string name;
  double pole;
  Function f;
};
std::vector<Steep> steep_functions() {
  const auto constant = [](double x) { return Var(Tensor::full({}, x, DType::float64)); };
  return {
      {"sqrt", 0, [](const Var& x) { return sqrt(x); }},
      {"log", 0, [](const Var& x) { return log(x); }},
      {"log1p", -1, [](const Var& x) { return log1p(x); }},
      {"pow 0.5", 0, [](const Var& x) { return pow(x, 0.5); }},
      {"pow -1", 0, [](const Var& x) { return pow(x, -1.0); }},
      {"pow Var 0.5", 0, [=](const Var& x) { return pow(x, constant(0.5)); }},
      {"1 / x", 0, [](const Var& x) { return 1.0 / x; }},
      {"1 / Var x", 0, [=](const Var& x) { return constant(1) / x; }},
      {"x / 0", 1, [](const Var& x) { return x / 0.0; }},
      {"exp", 1000, [](const Var& x) { return exp(x); }},
      {"sqrt of a negative", -1, [](const Var& x) { return sqrt(x); }},
  };
}

}  // namespace

TEST_CASE("a zero slope hides an infinite one: every flat function inside every steep one") {
  for (const Flat& inner : flat_functions()) {
    for (const Steep& outer : steep_functions()) {
      CAPTURE(inner.name);
      CAPTURE(outer.name);
      double there = 0;
      {
        PauseRecording pause;
        there = inner.f(number(inner.at)).item();
      }
      const Function composed = [&](const Var& x) {
        return outer.f((inner.f(x) - there) + outer.pole);
      };
      CHECK(first(composed, inner.at) == 0);
      const double curvature = second(composed, inner.at);
      if (inner.flat_twice) {
        CHECK(curvature == 0);
      } else if (!std::isnan(outer.f(number(outer.pole)).item())) {
        CHECK(std::isinf(curvature));  // slope of the outer times curvature of the inner
      }
    }
  }
}

TEST_CASE("a hidden slope is hidden in every lane of a register, and the others keep theirs") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const std::int64_t size : {1, 2, 3, 15, 16, 17, 33, 64, 65}) {
      CAPTURE(size);
      std::vector<double> values, expected;
      for (std::int64_t i = 0; i < size; ++i) {
        values.push_back(i % 3 == 0 ? -1 : 4);
        expected.push_back(i % 3 == 0 ? 0 : 0.25);
      }
      const Var x = parameter(Tensor::from(Shape{size}, values).to(dtype));
      const Var zero(Tensor::zeros({}, dtype));
      Tape tape;
      for (const Var& y : {sqrt(relu(x)), sqrt(clamp(x, 0, 9)), sqrt(max(x, zero)),
                           sqrt(select(less(zero, x), x, zero))}) {
        const Var dx = tape.gradient(sum(y), {x}, {.retain = true})[0];
        CHECK(dx.value().to_vector<double>() == expected);
      }
    }
  }
}

TEST_CASE("a result that nobody uses has no gradient, not even where its slope is infinite") {
  for (const std::int64_t size : {1, 7, 40}) {
    const Var x = parameter(Tensor::zeros({size}, DType::float32));
    Tape tape;
    const auto y = pointwise(Unused{}, x);
    const Var dx = tape.gradient(sum(y[0]), {x}, {.create_graph = true})[0];
    CHECK(dx.value().to_vector<double>() == std::vector<double>(static_cast<std::size_t>(size), 0));
    const Var ddx = tape.gradient(sum(dx), {x})[0];
    CHECK(ddx.value().to_vector<double>() ==
          std::vector<double>(static_cast<std::size_t>(size), 2));
  }
}

TEST_CASE("an exact zero wins within one formula too") {
  const auto hidden = [](const Var& x, const Var& y) { return pointwise(HiddenRoot{}, x, y); };
  CHECK(all_derivatives(hidden, -1, 0) == std::array<double, 6>{0, 0, 0, 0, 0, 0});
  const auto written = [](const Var& x) { return pointwise(WrittenSigmoid{}, x); };
  const auto saturated = [](const Var& x) { return pointwise(Saturated{}, x); };
  for (const double x : {-1000.0, 1000.0}) {
    CHECK(first(written, x) == 0);
    CHECK(second(written, x) == 0);
    CHECK(first(saturated, x) == 0);
    CHECK(second(saturated, x) == 0);
  }
  CHECK(first(written, 0) == 0.25);
  // A NaN that no zero hides stays NaN.
  CHECK(std::isnan(first([](const Var& x) { return sqrt(x); }, -1)));
  CHECK(std::isnan(first([](const Var& x) { return x * Var(number(kNan).value()); }, 1)));
}

TEST_CASE("second derivatives: a factor that nobody asked about does not spoil the others") {
  const auto to_the = [](double n) { return [n](const Var& x) { return pow(x, number(n)); }; };
  CHECK(second(to_the(2), -3) == 2);
  CHECK(second(to_the(3), -3) == doctest::Approx(-18).epsilon(1e-15));
  CHECK(second(to_the(1), 0) == 0);
  CHECK(second(to_the(0), 0) == 0);
  const auto scaled = [](const Var& x) { return x * x * x * 1e-200 / number(1e-200); };
  CHECK(second(scaled, 2) == doctest::Approx(12).epsilon(1e-14));
  CHECK(second([](const Var& x) { return x * sqrt(x); }, 4) == doctest::Approx(0.375));
  CHECK(first([](const Var& x) { return x * sqrt(x); }, 0) == 0);
}

TEST_CASE("gradients that overwrite what they are made from keep their exact zeros") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const std::int64_t size : {3, 16, 300}) {
      CAPTURE(size);
      std::vector<double> values, expected;
      for (std::int64_t i = 0; i < size; ++i) {
        values.push_back(i % 5 == 1 ? 0 : 4);
        expected.push_back(i % 5 == 1 ? 0 : 0.25);
      }
      const Tensor x = Tensor::from(Shape{size}, values).to(dtype);
      const Tensor dy = Tensor::from(Shape{size}, values).to(dtype);
      transform(formula::Scale{0.25}, {dy}, {dy});
      transform(Backward<formula::Sqrt>{}, {x, dy}, {x});
      CHECK(x.to_vector<double>() == expected);
      transform(Backward<formula::Sqrt>{}, {Tensor::from(Shape{size}, values).to(dtype), dy}, {dy});
      CHECK(dy.to_vector<double>() == expected);
    }
    // In recurrent() the gradients of the gates take the place of the gates.
    for (const std::int64_t units : {5, 16, 40}) {
      CAPTURE(units);
      const Var zx = parameter(Tensor::full({3, 2, units}, 4, dtype));
      zx.value().select(2, 1).fill(-1);
      const Var w(Tensor::zeros({units, units}, dtype));
      Tape tape;
      const RecurrentResult run = recurrent(Recurrence(RootStep{}, of::input() + of::product(w)),
                                            zx * 1.0, {Var(Tensor::zeros({2, units}, dtype))});
      const Tensor dx = tape.gradient(sum(run.hs), {zx})[0].value();
      const Tensor expected = Tensor::full(dx.shape(), 0.25, dtype);
      expected.select(2, 1).fill(0);
      CHECK(same_bits(dx, expected));
    }
  }
}

TEST_CASE("pow at its edges") {
  const auto power = [](const Var& x, const Var& n) { return pow(x, n); };
  // x^n at x = 2, n = 0: the mixed derivative is 1 / x, in both orders.
  const auto at_zero = all_derivatives(power, 2, 0);
  CHECK(at_zero[0] == 0);
  CHECK(at_zero[1] == doctest::Approx(std::log(2)));
  CHECK(at_zero[2] == 0);
  CHECK(at_zero[3] == doctest::Approx(0.5).epsilon(1e-15));
  CHECK(at_zero[4] == doctest::Approx(0.5).epsilon(1e-15));
  CHECK(at_zero[5] == doctest::Approx(std::log(2) * std::log(2)));
  // d/dn is 0 at x = 0 for every n; d/dx is 0 at n = 0 for every x.
  for (const double n : {-2.0, -0.5, 0.0, 0.5, 3.0}) {
    CAPTURE(n);
    CHECK(all_derivatives(power, 0, n)[1] == 0);
  }
  for (const double x : {-kInf, -2.0, 0.0, 1e-320, 3.0, kInf}) {
    CAPTURE(x);
    CHECK(all_derivatives(power, x, 0)[0] == 0);
    CHECK(first([](const Var& v) { return pow(v, 0.0); }, x) == 0);
    CHECK(second([](const Var& v) { return pow(v, 0.0); }, x) == 0);
    CHECK(first([](const Var& v) { return pow(v, 1.0); }, x) == 1);
  }
  CHECK(all_derivatives(power, kInf, -1)[1] == 0);  // log(x) / x far out
  CHECK(first([](const Var& v) { return pow(v, -1.0); }, 0) == -kInf);
}

TEST_CASE("softsign keeps its digits near 0 and far out") {
  const auto f = [](const Var& x) { return softsign(x); };
  for (const double sign : {1.0, -1.0}) {
    CHECK(softsign(number(sign * kInf)).item() == sign);
    CHECK(first(f, sign * kInf) == 0);
    for (const double size : {1e-300, 1e-9, 0.5, 1.0, 3.0, 1e10, 1e20}) {
      CAPTURE(size);
      CHECK(softsign(number(sign * size)).item() ==
            doctest::Approx(sign * size / (1 + size)).epsilon(1e-15));
      CHECK(first(f, sign * size) == doctest::Approx(1 / ((1 + size) * (1 + size))).epsilon(1e-14));
      CHECK(second(f, sign * size) ==
            doctest::Approx(-2 * sign / std::pow(1 + size, 3)).epsilon(1e-13));
    }
  }
  CHECK(std::isnan(softsign(number(kNan)).item()));
}

TEST_CASE("a / b follows IEEE where 1 / b overflows") {
  const auto quotient = [](const Var& a, const Var& b) { return a / b; };
  const auto zero = all_derivatives(quotient, 0, 1e-310);
  CHECK(zero[0] == kInf);
  CHECK(zero[1] == 0);
  const auto tiny = all_derivatives(quotient, 1e-313, 1e-310);
  CHECK(tiny[1] == -(1e-313 / 1e-310) / 1e-310);
  CHECK(std::isfinite(tiny[1]));
  for (const double a : {1e-313, -3e-310, 0.0, 2.0}) {
    CAPTURE(a);
    CHECK((number(a) / number(1e-310)).item() == a / 1e-310);
    CHECK((number(a) / 1e-310).item() == a / 1e-310);
    CHECK((a / number(1e-310)).item() == a / 1e-310);
  }
  // Within a formula that uses the quotient again.
  const auto squashed = [](const Var& a, const Var& b) { return tanh(a / b); };
  CHECK(all_derivatives(squashed, 1e-313, 1e-310)[1] ==
        doctest::Approx(-(1 - std::pow(std::tanh(1e-3), 2)) * 1e-3 / 1e-310));
}

TEST_CASE("-x changes the sign, c * x is a product and x / c a quotient, of zeros too") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const double x : {0.0, -0.0, 2.0, -kInf}) {
      CAPTURE(x);
      const Var v(Tensor::full({19}, x, dtype));
      const auto is = [&](const Var& y, double expected) {
        for (const double element : y.value().to_vector<double>()) {
          CHECK(element == expected);
          CHECK(std::signbit(element) == std::signbit(expected));
        }
      };
      is(-v, -x);
      is(1.0 / -v, 1 / -x);
      is(-1.0 * v, -x);
      is(v * -2.0, x * -2);
      is(v / -4.0, x / -4);
      is(v / 3.0,
         dtype == DType::float32 ? static_cast<double>(static_cast<float>(x) / 3.0F) : x / 3);
      is(v + 0.0, x + 0.0);
      is(v + -0.0, x);
      is(v - 0.0, x);
      is(v - -0.0, x + 0.0);
      is(0.0 - v, 0.0 - x);
      is(-0.0 - v, -0.0 - x);
      is(v / Var(Tensor::full({}, -2, dtype)), x / -2);
    }
  }
  CHECK((1.0 / -number(0)).item() == -kInf);
}

TEST_CASE("x / c is rounded once: n / n is 1 for every n") {
  for (int n = 1; n <= 1000; ++n) {
    CAPTURE(n);
    const auto c = static_cast<double>(n);
    CHECK((number(c) / c).item() == 1);
    CHECK((Var(Tensor::full({}, c, DType::float32)) / c).item() == 1);
    CHECK((number(7) / c).item() == 7 / c);
  }
  // Powers of two up to the ends of the range: a reciprocal would overflow or lose digits.
  for (const int e : {-1074, -1073, -1023, -1022, -1, 1, 1022, 1023}) {
    CAPTURE(e);
    const double c = std::ldexp(1, e);
    CHECK((number(c) / c).item() == 1);
    CHECK((number(3e-308) / c).item() == 3e-308 / c);
  }
  for (const int e : {-149, -128, -127, -126, 125, 126, 127}) {
    CAPTURE(e);
    const float c = std::ldexp(1.0F, e);
    const Var x(Tensor::full({}, 3e-38, DType::float32));
    CHECK((x / static_cast<double>(c)).item() == static_cast<double>(3e-38F / c));
  }
}

}  // namespace tapeloop::test
