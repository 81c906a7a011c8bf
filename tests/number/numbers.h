// SPDX-License-Identifier: MIT
// Numbers for the tests of functions: their bits, samples of a whole type, and the list of rules.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::test {

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
bool same_number(T a, T b) {
  return word_of(a) == word_of(b) || (a != a && b != b);
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

// Calls check<Rule>() for each rule of functions.h.
template <class... Rule>
void for_each_rule(TypeList<Rule...>, auto check) {
  (check.template operator()<Rule>(), ...);
}

}  // namespace tapeloop::test
