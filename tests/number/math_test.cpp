// SPDX-License-Identifier: MIT
// Accuracy, special values and mixed operands of the elementwise functions, for scalars and SIMD
// registers. Does not test derivatives. The rules of functions.h give the accuracy limits.
#include "tapeloop/autograd/number/math.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/ops/formula.h"
#include "tests/ops/function_cases.h"

// Inside the namespace, so that exp(x) of a plain float is the library's function and not the C
// library's.
namespace tapeloop {
namespace {

template <class T>
constexpr T kInf = std::numeric_limits<T>::infinity();
template <class T>
constexpr T kNan = std::numeric_limits<T>::quiet_NaN();

template <class T>
using WordOf = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T>
WordOf<T> word_of(T x) {
  WordOf<T> word;
  std::memcpy(&word, &x, sizeof x);
  return word;
}
template <class T>
T number_of(WordOf<T> word) {
  T x;
  std::memcpy(&x, &word, sizeof x);
  return x;
}
template <class T>
bool same_bits(T a, T b) {
  return word_of(a) == word_of(b) || (a != a && b != b);
}

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

// Every 40009th of all 2^32 floats, or as many doubles evenly over all bit patterns, and the
// limits.
template <class T>
std::vector<T> samples() {
  std::vector<T> xs;
  constexpr WordOf<T> kStride = static_cast<WordOf<T>>(sizeof(T) == 4 ? 40009 : 171839192801231);
  constexpr int kCount = 107000;
  for (int i = 0; i < kCount; ++i) xs.push_back(number_of<T>(static_cast<WordOf<T>>(i) * kStride));
  // Most bit patterns are tiny or huge: adds more numbers of the range where the functions bend.
  std::mt19937_64 random(7);
  for (double scale : {0.7, 3.0, 20.0, 100.0, 750.0}) {
    std::uniform_real_distribution<double> uniform(-scale, scale);
    for (int i = 0; i < 10000; ++i) xs.push_back(static_cast<T>(uniform(random)));
  }
  using Limits = std::numeric_limits<T>;
  const std::vector<T> edges = {T(0),
                                Limits::denorm_min(),
                                Limits::min(),
                                Limits::epsilon(),
                                Limits::max(),
                                T(0.5),
                                T(0.6),
                                T(1),
                                T(2),
                                T(8),
                                T(10),
                                T(16.635532),
                                T(17.3286795),
                                T(20),
                                T(40),
                                T(87.33654),
                                T(88.72284),
                                T(103.97208),
                                T(104),
                                T(708.396418532264),
                                T(709.782712893384),
                                T(745.133219101941),
                                T(746)};
  for (T edge : edges) {
    for (T x : {edge, std::nextafter(edge, kInf<T>), std::nextafter(edge, -kInf<T>)}) {
      xs.push_back(x);
      xs.push_back(-x);
    }
  }
  for (T x : {kInf<T>, -kInf<T>, kNan<T>}) xs.push_back(x);
  return xs;
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

// Calls check<Rule>() for each rule of functions.h.
template <class... Rule>
void for_each_rule(TypeList<Rule...>, auto check) {
  (check.template operator()<Rule>(), ...);
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

// Calls the check for each register type that this file's compiler flags have instructions for.
template <class T, class Check>
void for_each_register(Check check) {
  check.template operator()<Vec<T, isa::Baseline>>();
  if constexpr (isa::Native::vector_bytes >= 32) check.template operator()<Vec<T, isa::Avx2>>();
  if constexpr (isa::Native::vector_bytes >= 64) check.template operator()<Vec<T, isa::Avx512>>();
}

// `lanes` must give in every lane the bits that `scalar` gives.
template <class T, class Function>
void check_lanes(const char* name, Function function) {
  const std::vector<T> xs = samples<T>();
  for_each_register<T>([&]<class V>() {
    constexpr std::size_t kWidth = static_cast<std::size_t>(V::width);
    std::size_t wrong = 0;
    // A step that is no multiple of the width brings each kind of value to each lane.
    for (std::size_t i = 0; i + kWidth <= xs.size(); i += kWidth + 1) {
      T got[kWidth];
      function(V::load(&xs[i])).store(got);
      for (std::size_t lane = 0; lane < kWidth; ++lane) {
        if (!same_bits(got[lane], static_cast<T>(function(xs[i + lane])))) ++wrong;
      }
    }
    INFO(std::string(name) << ", " << kWidth << " lanes of " << sizeof(T) << " bytes");
    CHECK(wrong == 0);
  });
}

template <class T>
void check_all_lanes() {
  for_each_rule(formula::Functions{}, []<class Rule>() {
    check_lanes<T>(Rule::name, [](auto x) { return apply_rule<Rule>(x); });
  });
  check_lanes<T>("pow(x, 2)", [](auto x) { return pow(x, 2); });
  check_lanes<T>("pow(1.5, x)", [](auto x) { return pow(1.5, x); });
  check_lanes<T>("max(x, 0)", [](auto x) { return max(x, 0); });
  check_lanes<T>("min(0.25, x)", [](auto x) { return min(0.25, x); });
  check_lanes<T>("clamp(x, -1, 0.3)", [](auto x) { return clamp(x, -1, 0.3); });
  check_lanes<T>("copysign(2, x)", [](auto x) { return copysign(2, x); });
  check_lanes<T>("fma(x, x, x)", [](auto x) { return fma(x, x, x); });
}

template <class T>
void check_special_values() {
  const T inf = kInf<T>;
  const T nan = kNan<T>;
  const T tiny = std::numeric_limits<T>::denorm_min();
  CHECK(exp(-inf) == 0);
  CHECK(exp(inf) == inf);
  CHECK(same_bits(exp(T(-0.0)), T(1)));
  CHECK(same_bits(tanh(T(-0.0)), T(-0.0)));
  CHECK(same_bits(tanh(T(0)), T(0)));
  CHECK(tanh(inf) == 1);
  CHECK(tanh(-inf) == -1);
  CHECK(tanh(tiny) == tiny);
  CHECK(tanh(T(1e-30)) == T(1e-30));
  CHECK(sigmoid(inf) == 1);
  CHECK(same_bits(sigmoid(-inf), T(0)));
  CHECK(sigmoid(T(0)) == T(0.5));
  CHECK(atan(inf) == static_cast<T>(1.57079632679489661923));
  CHECK(atan(-inf) == static_cast<T>(-1.57079632679489661923));
  CHECK(same_bits(atan(T(-0.0)), T(-0.0)));
  CHECK(atan(tiny) == tiny);
  CHECK(softplus(inf) == inf);
  CHECK(softplus(-inf) == 0);
  CHECK(same_bits(sqrt(T(-0.0)), T(-0.0)));
  CHECK(same_bits(floor(T(-0.0)), T(-0.0)));
  CHECK(floor(T(-0.5)) == -1);
  CHECK(floor(T(-3)) == -3);
  CHECK(floor(-inf) == -inf);
  CHECK(sign(T(-7)) == -1);
  CHECK(sign(T(0)) == 0);
  CHECK(abs(T(-2.5)) == T(2.5));
  CHECK(square(T(-3)) == 9);
  CHECK(copysign(T(3), T(-0.0)) == -3);
  CHECK(pow(T(0), T(0)) == 1);
  CHECK(pow(T(-2), T(3)) == -8);
  CHECK(clamp(T(5), -1, 1) == 1);
  CHECK(clamp(T(-5), -1, 1) == -1);
  CHECK(clamp(T(0.5), 2, 1) == 1);
  for (T y : {exp(nan), tanh(nan), sigmoid(nan), softplus(nan), atan(nan), log(T(-1)), log1p(T(-2)),
              sqrt(T(-1)), abs(nan), sign(nan), floor(nan), max(nan, T(1)), max(T(1), nan),
              min(nan, T(1)), min(T(1), nan), clamp(nan, 0, 1), clamp(T(0), nan, 1),
              clamp(T(0), 0, nan), square(nan)}) {
    CHECK(y != y);
  }
}

template <class V>
void check_mixed_operands() {
  using T = typename V::Element;
  T in[V::width];
  for (int i = 0; i < V::width; ++i) in[i] = T(i) - T(1.5);
  const V x = V::load(in);
  const auto each = [&](V got, auto want_of) {
    T out[V::width];
    got.store(out);
    for (int i = 0; i < V::width; ++i) CHECK(same_bits(out[i], static_cast<T>(want_of(in[i]))));
  };
  each(x * 0.5, [](T v) { return v * T(0.5); });
  each(1 - x, [](T v) { return 1 - v; });
  each(x + 3u, [](T v) { return v + 3; });
  each(0.1 / x, [](T v) { return T(0.1) / v; });
  each(x / 3, [](T v) { return v / 3; });
  each(x - 1.0f, [](T v) { return v - 1; });
  each(2 * x, [](T v) { return 2 * v; });
  each(select(x < 0, 1, x), [](T v) { return v < 0 ? T(1) : v; });
  each(select(0 <= x, x, 0.1), [](T v) { return 0 <= v ? v : T(0.1); });
  each(select(x == 0.5, 1, 0), [](T v) { return v == T(0.5) ? 1 : 0; });
  each(select(0.5 != x, 1, 0), [](T v) { return v != T(0.5) ? 1 : 0; });
  each(select((x > -1) & (x < 1.0), 1, 0), [](T v) { return v > -1 && v < 1 ? 1 : 0; });
  each(select((x >= 1) | !(x > -1), 1, 0), [](T v) { return v >= 1 || v <= -1 ? 1 : 0; });
  each(max(1.0, x), [](T v) { return v > 1 ? v : T(1); });
  each(min(x, -1), [](T v) { return v < -1 ? v : T(-1); });
  each(pow(x, 2.0), [](T v) { return v * v; });
  V y = x;
  y += x;
  y *= V::splat(3);
  y -= x;
  y /= V::splat(4);
  each(y, [](T v) { return (3 * (v + v) - v) / 4; });
  CHECK(sum_lanes(x) == T(V::width) * (T(V::width) - 4) / 2);
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

TEST_CASE("infinities, zeros, NaN and bounds give what the mathematics says") {
  check_special_values<float>();
  check_special_values<double>();
}

TEST_CASE("every lane of a register gives the bits of the scalar function") {
  check_all_lanes<float>();
  check_all_lanes<double>();
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

TEST_CASE("arithmetic, comparisons and select take a register and any scalar") {
  const auto check = []<class V>() { check_mixed_operands<V>(); };
  for_each_register<float>(check);
  for_each_register<double>(check);
}

TEST_CASE(
    "a double literal beside a float is taken as a float, as it is beside a register of floats") {
  static_assert(std::is_same_v<decltype(tapeloop::max(1.0f, 0.1)), float>);
  static_assert(std::is_same_v<decltype(tapeloop::min(0.1, 1.0f)), float>);
  static_assert(std::is_same_v<decltype(tapeloop::pow(2.0, 3)), double>);
  CHECK(tapeloop::max(-1.0f, 0.1) == 0.1f);
  CHECK(tapeloop::select(true, 1, 2.5f) == 1.0f);
}

TEST_CASE("fma without the instruction rounds once, like the one with it") {
  std::mt19937_64 random(3);
  std::size_t wrong = 0;
  for (int i = 0; i < 300000; ++i) {
    auto a = number_of<float>(static_cast<std::uint32_t>(random()));
    auto b = number_of<float>(static_cast<std::uint32_t>(random()));
    auto c = number_of<float>(static_cast<std::uint32_t>(random()));
    if (i % 2 == 0) {  // few digits and close exponents: many ties
      a = std::ldexp(static_cast<float>(random() % 8192), -12);
      b = std::ldexp(static_cast<float>(random() % 8192), -12);
      c = std::ldexp(static_cast<float>(random() % 4096), static_cast<int>(random() % 64) - 32);
    }
    if (!same_bits(tapeloop::fma_in_double(a, b, c), std::fma(a, b, c))) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(tapeloop::fma_in_double(1 + 0x1p-12f, 1 + 0x1p-12f, -0x1p-60f) ==
        std::fma(1 + 0x1p-12f, 1 + 0x1p-12f, -0x1p-60f));
}

}  // namespace tapeloop
