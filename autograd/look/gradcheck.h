// SPDX-License-Identifier: MIT
// gradcheck: the tape's gradients against central differences in float64, and a float32 model against its float64 twin.
// Names the worst element, never just says no. Not for speed: it runs the function twice for every element.
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
  double step = 1e-6;                // the input is moved by this to either side
  double absolute_tolerance = 1e-5;  // |analytic - numeric| <= absolute + relative |numeric|
  double relative_tolerance = 1e-3;
  std::uint64_t seed =
      1;  // of the upstream gradient, which is random in [0.5, 1.5) with random signs
  bool second_order =
      false;  // checks the gradient of the gradient as well, also by the upstream gradient
};

// One element of one parameter, as found worst.
struct GradcheckElement {
  std::string name;
  std::vector<std::int64_t> index = {};
  double analytic = 0;
  double numeric = 0;
  double error_ratio = 0;  // error / allowed error: above 1 is a failure
  bool on_kink = false;    // the function bends here: its slopes to the left and right differ
};

struct GradcheckReport {
  bool ok = true;
  std::string what;           // "first order", "second order", "float32 against float64"
  std::int64_t elements = 0;  // compared
  std::int64_t failures = 0;
  std::int64_t kinks = 0;  // inputs found to sit on a kink
  std::vector<std::string>
      unlisted;  // shapes of parameters that took part but were not in the list
  std::vector<GradcheckElement> worst;  // the worst element of each parameter
  explicit operator bool() const { return ok; }
  std::string str() const;  // for people: a line for each parameter, and what to do about a failure
};

namespace detail {
using CheckedFunction = std::function<std::vector<Var>()>;
GradcheckReport gradcheck(const CheckedFunction& function, const ParameterList& parameters,
                          const GradcheckOptions& options);
GradcheckReport replay(const CheckedFunction& function, const ParameterList& parameters,
                       double tolerance, std::uint64_t seed);

// f() or f(vars) with one Var, or any list of them, as its result.
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

// Checks d(sum of w y)/dx for every element x of `parameters` (float64; see convert of nn/layers/module.h) and a random
// upstream gradient w. `function` computes y from them: it is called as f(), or as f(std::span<const Var>) with the
// parameters' variables, and returns a Var or several. It must give the same y each time for the same parameters (start
// the Random of a dropout anew in each call), else Error is thrown. The parameters' values and gradients are left as they were. Parameters on Device::cuda
// are checked there.
template <class F>
GradcheckReport gradcheck(F&& function, const ParameterList& parameters,
                          const GradcheckOptions& options = {}) {
  return detail::gradcheck(detail::checked_function(function, parameters), parameters, options);
}
// The same for tensors: each becomes a parameter of its own, in float64.
template <class F>
GradcheckReport gradcheck(F&& function, std::initializer_list<Tensor> inputs,
                          const GradcheckOptions& options = {}) {
  std::vector<Var> vars;
  for (const Tensor& input : inputs) vars.push_back(parameter(input.to(DType::float64).clone()));
  ParameterList parameters = detail::numbered(vars);
  return detail::gradcheck(detail::checked_function(function, parameters), parameters, options);
}

// Runs a float32 model and its float64 twin on the same numbers and compares results and gradients: each element's error
// relative to the largest magnitude in its tensor must stay below `tolerance`. Every float tensor that `function` reads
// must be among `parameters` (inputs too), since they are converted for the second run, and back afterwards.
template <class F>
GradcheckReport replay_in_float64(F&& function, const ParameterList& parameters,
                                  double tolerance = 2e-5, std::uint64_t seed = 1) {
  return detail::replay(detail::checked_function(function, parameters), parameters, tolerance,
                        seed);
}

}  // namespace tapeloop
