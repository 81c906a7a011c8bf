// SPDX-License-Identifier: MIT
// gradcheck itself: it must find wrong gradients, name the place, report kinks, and change nothing.
// ops_test.cpp checks that the library's own gradients are right.
#include "tests/support.h"

namespace tapeloop::test {
namespace {

Var weights(const Shape& shape, std::uint64_t seed = kSeed) {
  return parameter(random_tensor(shape, seed));
}

// x^2 with a wrong gradient in one row, where half of it is missing.
Var spoilt_square(const Var& x, std::int64_t row) {
  const Var rows = select_index(x, 0, row);
  const Var wrong = rows * rows.detach();
  std::vector<Var> parts;
  for (std::int64_t i = 0; i < x.dim(0); ++i)
    parts.push_back(i == row ? wrong : square(select_index(x, 0, i)));
  return stack(parts);
}

const GradcheckElement& worst_of(const GradcheckReport& report) {
  return *std::max_element(
      report.worst.begin(), report.worst.end(),
      [](const auto& a, const auto& b) { return a.error_ratio < b.error_ratio; });
}

TEST_CASE("a parameter that takes part but is not in the list is reported") {
  const Var listed = parameter(Tensor::from<double>({2}, {0.5, -1.0}));
  const Var forgotten = parameter(Tensor::from<double>({2}, {2.0, 3.0}));
  const GradcheckReport report =
      gradcheck([&] { return listed * forgotten; }, ParameterList{{"listed", listed}},
                {.second_order = true});
  CHECK(report.ok);
  REQUIRE(report.unlisted.size() == 1);
  CHECK(report.unlisted[0] == "[2]");
  CHECK(report.str().find("1 parameters took part that are not in the list") != std::string::npos);
  CHECK(
      gradcheck([&] { return listed * 2.0; }, ParameterList{{"listed", listed}}).unlisted.empty());
}

}  // namespace

TEST_CASE("gradcheck finds a spoilt gradient and names the parameter and the element") {
  const Var good = weights({3}, 1);
  const Var bad = parameter(Tensor::from<double>({3, 2}, {1, 2, 3, 4, 5, 6}));
  const GradcheckReport report = gradcheck(
      [&] {
        return std::vector<Var>{spoilt_square(bad, 1), exp(good)};
      },
      {{"good", good}, {"bad.weight", bad}});
  CHECK_FALSE(report.ok);
  CHECK_FALSE(static_cast<bool>(report));
  CHECK(report.what == "first order");
  CHECK(report.elements == 9);
  CHECK(report.failures == 2);
  CHECK(report.kinks == 0);
  REQUIRE(report.worst.size() == 2);
  CHECK(report.worst[0].name == "good");
  CHECK(report.worst[0].error_ratio < 1);
  const GradcheckElement& worst = report.worst[1];
  CHECK(worst.name == "bad.weight");
  REQUIRE(worst.index.size() == 2);
  CHECK(worst.index[0] == 1);
  CHECK(worst.numeric == doctest::Approx(2 * worst.analytic).epsilon(1e-6));
  CHECK_FALSE(worst.on_kink);
  const std::string text = report.str();
  for (const char* part :
       {"FAILED", "9 elements, 2 failed", "bad.weight", "[1, ", "wrong gradient"}) {
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  }
}

TEST_CASE("gradcheck finds an error of one part in a hundred, and passes what is right") {
  const Var x = parameter(Tensor::from<double>({2}, {2, 3}));
  const auto nearly = [&] { return square(x) * 0.99 + square(x).detach() * 0.01; };
  CHECK_FALSE(gradcheck(nearly, {{"x", x}}).ok);
  const GradcheckReport report = gradcheck([&] { return square(x); }, {{"x", x}});
  CHECK(report.ok);
  CHECK(report.str().find("passed") != std::string::npos);
}

TEST_CASE(
    "second order finds what the first order cannot: a gradient that is right, but cut off from "
    "its inputs") {
  const Var x = parameter(Tensor::from<double>({2}, {0.5, -1.5}));
  const auto cube = [&] {
    return record(
        "cube", {&x}, Tensor((x.detach() * x.detach() * x.detach()).value()),
        [x](const Var& dy, Grads& grads) { grads.add(0, dy * square(x.detach()) * 3.0); });
  };
  CHECK(gradcheck(cube, {{"x", x}}).ok);
  const GradcheckReport report = gradcheck(cube, {{"x", x}}, {.second_order = true});
  CHECK_FALSE(report.ok);
  CHECK(report.what.find("second order") != std::string::npos);
  CHECK(worst_of(report).name == "x");
  CHECK(gradcheck([&] { return x * x * x; }, {{"x", x}}, {.second_order = true}).ok);
  CHECK(gradcheck([&] { return x * 3.0; }, {{"x", x}}, {.second_order = true})
            .ok);  // there is no second derivative
}

TEST_CASE("second order checks the derivative by the upstream gradient, too") {
  const Var x = parameter(Tensor::from<double>({2}, {0.5, -1.5}));
  // dy / 2 + dy / 2; the tape sees only one half.
  const auto half = [&] {
    return record("half", {&x}, x.value().clone(),
                  [](const Var& dy, Grads& grads) { grads.add(0, dy * 0.5 + dy.detach() * 0.5); });
  };
  const GradcheckReport report = gradcheck(half, {{"x", x}}, {.second_order = true});
  CHECK_FALSE(report.ok);
  CHECK(worst_of(report).name == "upstream gradient 0");
}

TEST_CASE("second order finds a backward function that leaves the tape, and says so") {
  const Var x = parameter(Tensor::from<double>({3}, {0.5, -1.5, 0.7}));
  const auto sine = [&](auto backward) {
    return [&x, backward] {
      auto copy = backward;
      return record("sine", {&x}, sin(x.detach()).value().clone(), std::move(copy));
    };
  };
  // By operations.
  CHECK(gradcheck(sine([x](const Var& dy, Grads& grads) { grads.add(0, dy * cos(x)); }), {{"x", x}},
                  {.second_order = true})
            .ok);
  // On tensors: the tape finds the mistake.
  const auto on_tensors = [x](const Var& dy, Grads& grads) {
    grads.add(0, Var((dy.detach() * cos(x.detach())).value()));
  };
  CHECK(gradcheck(sine(on_tensors), {{"x", x}}).ok);
  CHECK(
      throws_with("sine: its backward function computed the gradient of input 0 on tensors|"
                  "once_differentiable",
                  [&] {
                    gradcheck(sine(on_tensors), {{"x", x}}, {.second_order = true});
                  }));
  // One half on tensors: only finite differences find this mistake.
  const GradcheckReport report = gradcheck(
      sine([x](const Var& dy, Grads& grads) { grads.add(0, dy * Var(cos(x.detach()).value())); }),
      {{"x", x}}, {.second_order = true});
  CHECK_FALSE(report.ok);
  CHECK(report.str().find("a backward function computes with a tensor, as .value()") !=
        std::string::npos);
}

TEST_CASE("inputs on a kink are counted and marked, and the report says to move them") {
  const Var x = parameter(Tensor::from<double>({4}, {-1, 0, 2, 0}));
  for (const auto& f : {std::function<Var()>([&] { return relu(x); }),
                        std::function<Var()>([&] { return abs(x); })}) {
    const GradcheckReport report = gradcheck(f, {{"x", x}});
    CHECK(report.kinks == 2);
    CHECK(report.str().find("2 inputs are at a kink") != std::string::npos);
  }
  const GradcheckReport report = gradcheck([&] { return relu(x); }, {{"x", x}});
  CHECK_FALSE(report.ok);
  CHECK(worst_of(report).on_kink);
  CHECK(worst_of(report).index[0] % 2 == 1);
  CHECK(gradcheck([&] { return exp(x * 5.0); }, {{"x", x}}).kinks == 0);  // a curve is not a kink
}

TEST_CASE("gradcheck refuses what it cannot check, and says what to give instead") {
  const Var single = parameter(Tensor::zeros({2}));
  const Var x = weights({2, 2});
  CHECK(
      throws_with("gradcheck: \"w\" is float32[2]; expected a contiguous float64 parameter, made "
                  "by parameter(tensor)",
                  [&] {
                    gradcheck([&] { return exp(single); }, {{"w", single}});
                  }));
  CHECK(throws_with("\"c\" is float64[2]; expected", [&] {
    gradcheck([&] { return exp(x); }, {{"c", Var(random_tensor({2}))}});
  }));
  CHECK(throws_with("\"u\" is undefined", [&] {
    gradcheck([&] { return exp(x); }, {{"u", Var()}});
  }));
  CHECK(throws_with("contiguous", [&] {
    gradcheck([&] { return exp(x); }, {{"t", parameter(random_tensor({2, 3}).transpose(0, 1))}});
  }));
  CHECK(throws_with("gradcheck: no parameters were given",
                    [&] { gradcheck([&] { return exp(x); }, ParameterList{}); }));
  CHECK(throws_with("gradcheck: step is 0, expected more than 0", [&] {
    gradcheck([&] { return exp(x); }, {{"x", x}}, {.step = 0});
  }));
  CHECK(throws_with("gradcheck: the function returned no variable", [&] {
    gradcheck([&] { return std::vector<Var>(); }, {{"x", x}});
  }));
  CHECK(throws_with(
      "replay_in_float64: \"x\" is float64[2, 2]; expected a contiguous float32 parameter", [&] {
        replay_in_float64([&] { return exp(x); }, {{"x", x}});
      }));
}

TEST_CASE("options are respected: step, tolerances and seed") {
  const Var x = parameter(Tensor::from<double>({1}, {1}));
  const auto cube = [&] { return x * x * x; };
  // The difference over a step h is 3 + h^2: with h = 0.5 the error of 0.25 shows.
  const GradcheckReport coarse = gradcheck(cube, {{"x", x}}, {.step = 0.5});
  CHECK_FALSE(coarse.ok);
  CHECK(coarse.worst[0].numeric / coarse.worst[0].analytic ==
        doctest::Approx(3.25 / 3).epsilon(1e-12));
  CHECK(gradcheck(cube, {{"x", x}}, {.step = 0.5, .relative_tolerance = 0.1}).ok);
  CHECK(gradcheck(cube, {{"x", x}}, {.step = 0.5, .absolute_tolerance = 0.5}).ok);
  const double first = gradcheck(cube, {{"x", x}}, {.seed = 1}).worst[0].analytic;
  CHECK(first == gradcheck(cube, {{"x", x}}, {.seed = 1}).worst[0].analytic);
  CHECK(first != gradcheck(cube, {{"x", x}}, {.seed = 2}).worst[0].analytic);
}

TEST_CASE(
    "parameters and gradients are left as they were, also where the function throws half-way") {
  const Var x = weights({5});
  x.set_grad(Var(random_tensor({5}, 2)));
  const Tensor value = x.value().clone();
  const Tensor grad = x.grad().value().clone();
  int calls = 0;
  for (const int limit : {1000, 1, 2, 3, 4, 7}) {
    calls = 0;
    const auto f = [&] {
      if (++calls > limit) throw std::runtime_error("enough");
      return exp(x);
    };
    try {
      gradcheck(f, {{"x", x}}, {.second_order = true});
      CHECK(limit == 1000);
    } catch (const std::runtime_error& error) {
      CHECK(std::string(error.what()) == "enough");
    }
    CHECK(same_bits(x.value(), value));
    CHECK(same_bits(x.grad().value(), grad));
    CHECK(Tape::current() == nullptr);
  }
  const Var narrow = parameter(random_tensor({5}, 3, DType::float32));
  calls = 0;
  const auto fails_in_float64 = [&] {
    if (++calls == 2) throw std::runtime_error("enough");
    return exp(narrow);
  };
  CHECK_THROWS(replay_in_float64(fails_in_float64, {{"x", narrow}}));
  CHECK(narrow.dtype() == DType::float32);
}

TEST_CASE("a not-a-number in a gradient is a failure, not a pass") {
  const Var x = parameter(Tensor::from<double>({2}, {-1, 2}));
  const GradcheckReport report = gradcheck([&] { return log(x); }, {{"x", x}});
  CHECK_FALSE(report.ok);
  CHECK(worst_of(report).index == std::vector<std::int64_t>{0});
}

TEST_CASE("functions may take their variables as a list, or be checked on bare tensors") {
  const auto product = [](std::span<const Var> x) { return x[0] * tanh(x[1]); };
  CHECK(gradcheck(product, {random_tensor({2, 3}), random_tensor({3}, 2, DType::float32)}).ok);
  const Var x = weights({2});
  const Var y = weights({2}, 4);
  const GradcheckReport report = gradcheck(product, {{"x", x}, {"y", y}});
  CHECK(report.ok);
  CHECK(report.elements == 4);
  CHECK(gradcheck([&] { return unstack(x * y); }, {{"x", x}, {"y", y}}).ok);  // several results
  CHECK_FALSE(gradcheck([](std::span<const Var> v) { return spoilt_square(v[0], 0); },
                        {random_tensor({2, 2})})
                  .ok);
}

TEST_CASE("a function that draws other numbers each time is refused, one that starts anew is not") {
  const Var x = parameter(random_tensor({3}));
  Random random(1);
  CHECK(throws_with(
      "gradcheck: the function gives different values for the same inputs|its Random anew", [&] {
        gradcheck([&] { return x * Var(random_normal({3}, 0, 1, random, DType::float64)); },
                  {{"x", x}});
      }));
  CHECK(gradcheck(
            [&] {
              Random same(1);
              return x * Var(random_normal({3}, 0, 1, same, DType::float64));
            },
            {{"x", x}})
            .ok);
}

TEST_CASE(
    "replay in float64 finds a formula that cancels in float32, and passes its careful twin") {
  const Var x = parameter(Tensor::from<float>({3}, {1e-4f, 2e-4f, 3e-4f}));
  const GradcheckReport careless = replay_in_float64([&] { return 1.0 - cos(x); }, {{"x", x}});
  CHECK_FALSE(careless.ok);
  CHECK(careless.what == "float32 against float64");
  CHECK(careless.worst[0].name == "result 0");
  CHECK(careless.str().find("float32") != std::string::npos);
  CHECK(replay_in_float64([&] { return square(sin(x * 0.5)) * 2.0; }, {{"x", x}}).ok);
  CHECK(x.dtype() == DType::float32);

  const Var large = parameter(Tensor::from<float>({2}, {100, 3}));
  const GradcheckReport overflow =
      replay_in_float64([&] { return log(exp(large) + 1.0); }, {{"x", large}});
  CHECK_FALSE(overflow.ok);
  CHECK(replay_in_float64([&] { return softplus(large); }, {{"x", large}}).ok);
  CHECK(replay_in_float64([&] { return exp(large * 0.1); }, {{"x", large}}, 1e-30).ok == false);
}

TEST_CASE("gradcheck says that the function is not finite, not that its gradient is wrong") {
  const Var x = parameter(Tensor::from<double>({2}, {1, -1}));
  const GradcheckReport report = gradcheck([&] { return log(x); }, {{"x", x}});
  CHECK_FALSE(report.ok);
  CHECK(report.str().find("The function itself is not finite") != std::string::npos);
  CHECK(report.str().find("is a wrong gradient") == std::string::npos);
}

}  // namespace tapeloop::test
