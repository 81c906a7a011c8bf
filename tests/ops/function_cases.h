// SPDX-License-Identifier: MIT
// One row for each function of functions.h that is an operation, too: the operation, and what it
// should give. op_table.h makes a row of each, and math_test.cpp checks its accuracy.
#pragma once

#include "tests/ops/op_cases.h"

namespace tapeloop::test {

struct FunctionCase {
  std::string name;
  Var (*op)(const Var&);
  double (*of_double)(double);
  long double (*exact)(long double);
  OpSettings settings;

  // `reference` takes a number of either type.
  template <class F>
  FunctionCase(std::string its_name, Var (*its_op)(const Var&), F reference, OpSettings its = {})
      : name(std::move(its_name)),
        op(its_op),
        of_double(reference),
        exact(reference),
        settings(its) {}
};

inline const std::vector<FunctionCase>& function_cases() {
  static const std::vector<FunctionCase> kCases = {
      {"exp", exp, [](auto x) { return std::exp(x); }, {.large = 30000}},
      {"log", log, [](auto x) { return std::log(x); }, {.low = 0.3, .high = 3}},
      {"log1p", log1p, [](auto x) { return std::log1p(x); }, {.low = -0.7, .high = 2}},
      {"sqrt", sqrt, [](auto x) { return std::sqrt(x); }, {.low = 0.3, .high = 3}},
      {"square", square, [](auto x) { return x * x; }},
      {"abs", abs, [](auto x) { return std::abs(x); }},
      {"sin", sin, [](auto x) { return std::sin(x); }},
      {"cos", cos, [](auto x) { return std::cos(x); }},
      {"atan", atan, [](auto x) { return std::atan(x); }, {.low = -3, .high = 3, .large = 30000}},
      {"erf", erf, [](auto x) { return std::erf(x); }},
      {"tanh", tanh, [](auto x) { return std::tanh(x); }},
      {"sigmoid", sigmoid, [](auto x) { return 1 / (1 + std::exp(-x)); }, {.large = 30000}},
      {"softplus", softplus,
       [](auto x) { return (x > 0 ? x : 0) + std::log1p(std::exp(-std::abs(x))); }},
  };
  return kCases;
}

}  // namespace tapeloop::test
