// SPDX-License-Identifier: MIT
// Special values and mixed operands of the elementwise functions, for scalars and SIMD registers.
// accuracy_test.cpp tests their errors, chain_rule_test.cpp derivatives.
#include "tapeloop/autograd/number/math.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/number/numbers.h"

// Inside the namespace, so that exp(x) of a plain float is the library's function and not the C
// library's.
namespace tapeloop {
namespace {

using test::for_each_rule, test::kInf, test::kNan, test::number_of, test::same_number,
    test::samples;

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
        if (!same_number(got[lane], static_cast<T>(function(xs[i + lane])))) ++wrong;
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
  CHECK(same_number(exp(T(-0.0)), T(1)));
  CHECK(same_number(tanh(T(-0.0)), T(-0.0)));
  CHECK(same_number(tanh(T(0)), T(0)));
  CHECK(tanh(inf) == 1);
  CHECK(tanh(-inf) == -1);
  CHECK(tanh(tiny) == tiny);
  CHECK(tanh(T(1e-30)) == T(1e-30));
  CHECK(sigmoid(inf) == 1);
  CHECK(same_number(sigmoid(-inf), T(0)));
  CHECK(sigmoid(T(0)) == T(0.5));
  CHECK(atan(inf) == static_cast<T>(1.57079632679489661923));
  CHECK(atan(-inf) == static_cast<T>(-1.57079632679489661923));
  CHECK(same_number(atan(T(-0.0)), T(-0.0)));
  CHECK(atan(tiny) == tiny);
  CHECK(softplus(inf) == inf);
  CHECK(softplus(-inf) == 0);
  CHECK(same_number(sqrt(T(-0.0)), T(-0.0)));
  CHECK(same_number(floor(T(-0.0)), T(-0.0)));
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
    for (int i = 0; i < V::width; ++i) CHECK(same_number(out[i], static_cast<T>(want_of(in[i]))));
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

TEST_CASE("infinities, zeros, NaN and bounds give what the mathematics says") {
  check_special_values<float>();
  check_special_values<double>();
}

TEST_CASE("every lane of a register gives the bits of the scalar function") {
  check_all_lanes<float>();
  check_all_lanes<double>();
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
    if (!same_number(tapeloop::fma_in_double(a, b, c), std::fma(a, b, c))) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(tapeloop::fma_in_double(1 + 0x1p-12f, 1 + 0x1p-12f, -0x1p-60f) ==
        std::fma(1 + 0x1p-12f, 1 + 0x1p-12f, -0x1p-60f));
}

}  // namespace tapeloop
