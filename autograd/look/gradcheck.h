// SPDX-License-Identifier: MIT
// gradcheck: compares the tape's gradients with central differences in float64, and a float32
// model with its float64 twin. Reports the worst element of each parameter. Slow: it runs the
// function twice for each element.
#pragma once

#include <concepts>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/tape/named.h"
#include "tapeloop/autograd/tape/tape.h"

namespace tapeloop {

struct GradcheckOptions {
  // PyTorch's defaults.
  double step = 1e-6;                // the input is moved by this much to either side
  double absolute_tolerance = 1e-5;  // |analytic - numeric| <= absolute + relative |numeric|
  double relative_tolerance = 1e-3;  // of |numeric|
  // Seed of the random upstream gradient: magnitudes in [0.5, 1.5), random signs.
  std::uint64_t seed = 1;
  // Also checks the gradient of the gradient, by the parameters and by the upstream gradient.
  bool second_order = false;
};

// One element of one parameter: the worst one.
struct GradcheckElement {
  std::string name;                      // of the parameter
  std::vector<std::int64_t> index = {};  // of the element
  double analytic = 0;                   // by the backward pass
  double numeric = 0;                    // by differences
  double error_ratio = 0;                // error / allowed error: above 1 is a failure
  bool on_kink = false;  // the function has a kink here: its left and right slopes differ
};

// The result of gradcheck(). It converts to true if no element failed.
struct GradcheckReport {
  bool ok = true;             // no element failed
  std::string what;           // "first order", "second order", "float32 against float64"
  std::int64_t elements = 0;  // number of elements compared
  std::int64_t failures = 0;  // elements with an error above the allowed one
  std::int64_t kinks = 0;     // number of inputs at a kink
  // Shapes of parameters that the function used but that were not in the list.
  std::vector<std::string> unlisted;
  std::vector<GradcheckElement> worst;  // the worst element of each parameter
  explicit operator bool() const { return ok; }
  // A line for each parameter, and advice if a check failed.
  std::string str() const;
};

namespace detail {
using CheckedFunction = std::function<std::vector<Var>()>;
GradcheckReport gradcheck(const CheckedFunction& function, const ParameterList& parameters,
                          const GradcheckOptions& options);
GradcheckReport replay(const CheckedFunction& function, const ParameterList& parameters,
                       double tolerance, std::uint64_t seed);

// Adapts f() or f(vars), which returns one Var or a list of them.
template <class F>
CheckedFunction checked_function(F&& f, const ParameterList& parameters) {
  return [&]() -> std::vector<Var> {
    auto call = [&]() -> decltype(auto) {
      if constexpr (std::invocable<F&>) {
        return f();
      } else {
        std::vector<Var> vars;
        for (const NamedVar& parameter : parameters) vars.push_back(parameter.var);
        return f(std::span<const Var>(vars));
      }
    };
    auto result = call();
    if constexpr (std::same_as<decltype(result), Var>) {
      return {result};
    } else {
      return {result.begin(), result.end()};
    }
  };
}
ParameterList numbered(std::span<const Var> vars);  // named "input 0", "input 1", ...
}  // namespace detail

// Checks d(sum of w y)/dx for every element x of `parameters` and a random upstream gradient w. The
// parameters are float64; nn::convert() converts a model. `function` computes y: it is called as
// f(), or as f(std::span<const Var>) with the parameters' variables, and returns a Var or several.
// It must return the same y in each call with the same parameters (e.g. seed the Random of a
// dropout in each call), else Error is thrown. Values and gradients of the parameters are restored.
// Parameters on Device::cuda are checked there.
template <class F>
GradcheckReport gradcheck(F&& function, const ParameterList& parameters,
                          const GradcheckOptions& options = {}) {
  return detail::gradcheck(detail::checked_function(function, parameters), parameters, options);
}
// The same for tensors: each is converted to float64 and becomes a parameter.
template <class F>
GradcheckReport gradcheck(F&& function, std::initializer_list<Tensor> inputs,
                          const GradcheckOptions& options = {}) {
  std::vector<Var> vars;
  for (const Tensor& input : inputs) vars.push_back(parameter(input.to(DType::float64).clone()));
  ParameterList parameters = detail::numbered(vars);
  return detail::gradcheck(detail::checked_function(function, parameters), parameters, options);
}

// Runs a float32 model and its float64 twin on the same numbers and compares results and gradients.
// The error of each element, relative to the largest magnitude in its tensor, must be below
// `tolerance`. `parameters` must contain every float tensor that `function` reads (inputs too):
// they are converted for the second run, and back afterwards.
template <class F>
GradcheckReport replay_in_float64(F&& function, const ParameterList& parameters,
                                  double tolerance = 2e-5, std::uint64_t seed = 1) {
  return detail::replay(detail::checked_function(function, parameters), parameters, tolerance,
                        seed);
}

}  // namespace tapeloop
