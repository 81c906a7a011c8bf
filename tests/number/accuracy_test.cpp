// SPDX-License-Identifier: MIT
// The errors of the elementwise functions against the C library's long double, whether they rise,
// and their table in doc/cells.md. The rules of functions.h give the limits.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "tapeloop/autograd/ops/formula.h"
#include "tests/number/numbers.h"
#include "tests/ops/function_cases.h"

namespace tapeloop {
namespace {

using test::for_each_rule, test::kInf, test::number_of, test::samples;

// Error of `got` in units of the last place of type T at the true value `want`.
template <class T>
double error_in_ulp(T got, long double want) {
  const T rounded = static_cast<T>(want);
  if (std::isnan(want)) return std::isnan(got) ? 0.0 : kInf<double>;
  if (std::isinf(rounded) || std::isinf(got)) return got == rounded ? 0.0 : kInf<double>;
  using Limits = std::numeric_limits<T>;
  int exponent = Limits::min_exponent;
  if (std::fabs(want) >= static_cast<long double>(Limits::min())) std::frexp(want, &exponent);
  const long double ulp = std::ldexp(1.0L, exponent - Limits::digits);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - want) / ulp);
}

using Reference = long double (*)(long double);

// What a function should give: by function_cases.h, or by the C library if it is no operation.
Reference reference_of(std::string_view name) {
  for (const test::FunctionCase& row : test::function_cases()) {
    if (row.name == name) return row.exact;
  }
  if (name == "floor") return [](long double x) { return std::floor(x); };
  if (name == "sign") return [](long double x) { return x > 0 ? 1 : x < 0 ? -1 : x; };
  FAIL("no row of function_cases.h for " << std::string(name));
  return nullptr;
}

template <class T, class Rule>
void check_accuracy(double limit) {
  const Reference reference = reference_of(Rule::name);
  double worst = 0;
  T at = 0;
  for (T x : samples<T>()) {
    const double error = error_in_ulp(apply_rule<Rule>(x), reference(static_cast<long double>(x)));
    if (!(error <= worst)) {
      worst = error;
      at = x;
    }
  }
  INFO(std::string(Rule::name) << " of " << sizeof(T)
                               << " bytes: worst at x = " << static_cast<double>(at));
  CHECK(worst <= limit);
}

// The slope as a formula of the argument x and the value y: "1 - y * y".
template <class Rule>
struct Slope {
  TL_HD auto operator()(auto x, auto y) const {
    if constexpr (requires { Rule::slope(x); }) {
      return Rule::slope(x);
    } else {
      return Rule::slope(x, y);
    }
  }
};
template <class Rule>
std::string slope_text() {
  if constexpr (Rule::flat) {
    return "0";
  } else {
    PointwiseKernel kernel{};
    kernel.inputs = 2;
    kernel.outputs = 1;
    kernel.trace = &detail::trace_formula<isa::Native, Slope<Rule>>;
    kernel.argument_names = "x y";
    const Slope<Rule> slope;
    const Formula formula(kernel, &slope);
    return formula.parts()[static_cast<std::size_t>(formula.result_part(0))].text;
  }
}

}  // namespace

TEST_CASE("every function of one argument is as accurate as its rule says") {
  for_each_rule(formula::Functions{}, []<class Rule>() {
    check_accuracy<float, Rule>(Rule::accuracy.float32);
    check_accuracy<double, Rule>(kHasFma ? Rule::accuracy.float64
                                         : Rule::accuracy.float64_without_fma);
  });
}

TEST_CASE("pow is as accurate as math.h says") {
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> base(0, 30);
  std::uniform_real_distribution<double> exponent(-20, 20);
  for (int i = 0; i < 20000; ++i) {
    const double x = base(random);
    const double y = i % 10 == 0 ? 2.0 : exponent(random);
    const auto xf = static_cast<float>(x);
    const auto yf = static_cast<float>(y);
    CHECK(error_in_ulp(tapeloop::pow(x, y), std::pow(static_cast<long double>(x),
                                                     static_cast<long double>(y))) <= kPowUlp);
    CHECK(error_in_ulp(tapeloop::pow(xf, yf), std::pow(static_cast<long double>(xf),
                                                       static_cast<long double>(yf))) <= kPowUlp);
  }
}

TEST_CASE("exp, tanh, sigmoid and atan never decrease from one number to a larger one") {
  using Rising = TypeList<formula::Exp, formula::Tanh, formula::Sigmoid, formula::Atan>;
  for_each_rule(Rising{}, []<class Rule>() {
    std::size_t decreases = 0;
    for (std::uint32_t center = 0x30000000; center < 0x43000000; center += 0x00040011) {
      for (std::uint32_t word = center; word < center + 64; ++word) {
        const auto x = number_of<float>(word);
        const auto next = number_of<float>(word + 1);
        if (apply_rule<Rule>(x) > apply_rule<Rule>(next)) ++decreases;
        if (apply_rule<Rule>(-x) < apply_rule<Rule>(-next)) ++decreases;
      }
    }
    INFO(std::string(Rule::name));
    CHECK(decreases == 0);
  });
}

TEST_CASE("doc/cells.md lists the functions with their slopes and errors, as the rules say") {
  std::ifstream file("doc/cells.md");
  std::stringstream page;
  page << file.rdbuf();
  for_each_rule(formula::Functions{}, [&]<class Rule>() {
    const Accuracy& a = Rule::accuracy;
    const std::string line = fmt::format("| `{}(x)` | `{}` | {} | {} |\n", Rule::name,
                                         slope_text<Rule>(), a.float32, a.float64);
    INFO(line);
    CHECK(page.str().find("\n" + line) != std::string::npos);
  });
}

}  // namespace tapeloop
