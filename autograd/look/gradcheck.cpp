// SPDX-License-Identifier: MIT
// Central differences, element by element, and the report.
#include "tapeloop/autograd/look/gradcheck.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

std::vector<std::int64_t> index_of(const Shape& shape, std::int64_t flat) {
  std::vector<std::int64_t> index(static_cast<std::size_t>(shape.rank()));
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[static_cast<std::size_t>(axis)] = flat % shape[axis];
    flat /= shape[axis];
  }
  return index;
}

// Calls work(), then restore(), also if work() throws.
template <class Work, class Restore>
void then_restore(Work work, Restore restore) {
  try {
    work();
  } catch (...) {
    restore();
    throw;
  }
  restore();
}

// Random weights away from 0, so that every part of a gradient is checked.
Tensor upstream(const Var& y, Random& random) {
  Tensor w = random_uniform(y.shape(), -1.0, 1.0, random, DType::float64);
  double* values = w.data<double>();
  for (std::int64_t i = 0; i < w.numel(); ++i) values[i] += values[i] < 0 ? -0.5 : 0.5;
  return w.to(y.dtype()).to(y.device());
}

std::vector<Tensor> upstreams(const std::vector<Var>& ys, std::uint64_t seed) {
  Random random(seed);
  std::vector<Tensor> result;
  for (const Var& y : ys) result.push_back(upstream(y, random));
  return result;
}

Var weighted_sum(const std::vector<Var>& ys, const std::vector<Var>& weights) {
  Var total;
  for (std::size_t i = 0; i < ys.size(); ++i) {
    Var part = sum(ys[i] * weights[i]);
    total = total.defined() ? total + part : part;
  }
  if (!total.defined())
    fail("gradcheck", "the function returned no variable; return what it computes");
  return total;
}

// The scalar function for numerical differentiation, and its analytic gradients.
struct Checked {
  std::function<double()> value;
  std::vector<Tensor> gradients;
};

std::vector<Var> vars_of(const ParameterList& parameters) {
  std::vector<Var> result;
  for (const NamedVar& parameter : parameters) result.push_back(parameter.var);
  return result;
}

double error_ratio(double analytic, double numeric, const GradcheckOptions& options) {
  double error = std::abs(analytic - numeric);
  double allowed = options.absolute_tolerance + options.relative_tolerance * std::abs(numeric);
  bool comparable = std::isfinite(analytic) && std::isfinite(numeric);
  return comparable ? error / allowed : INFINITY;
}

GradcheckReport compare(const Checked& scalar, const ParameterList& parameters,
                        const GradcheckOptions& options, const char* what) {
  GradcheckReport report;
  report.what = what;
  const double here = scalar.value();
  const double again = scalar.value();
  if (here != again && !(std::isnan(here) && std::isnan(again))) {
    fail("gradcheck",
         fmt::format(
             "the function gives different values for the same inputs, {:.9g} and {:.9g}: it draws "
             "random numbers, as a dropout does, or keeps a state; start its Random anew in each "
             "call",
             here, again));
  }
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const Tensor x = parameters[p].var.value();
    const Tensor flat = x.reshape({x.numel()});  // a view of the same memory, on any device
    const std::vector<double> values = x.to_vector<double>();
    const std::vector<double> analytic = scalar.gradients[p].to_vector<double>();
    GradcheckElement worst{.name = parameters[p].name};
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      const auto set = [&flat, i](double value) { flat.slice(0, i, i + 1).fill(value); };
      const double before = values[static_cast<std::size_t>(i)];
      double above = 0;
      double below = 0;
      const auto take_both = [&] {
        set(before + options.step);
        above = scalar.value();
        set(before - options.step);
        below = scalar.value();
      };
      then_restore(take_both, [&] { set(before); });
      double numeric = (above - below) / (2 * options.step);
      GradcheckElement found{parameters[p].name,
                             index_of(x.shape(), i),
                             analytic[static_cast<std::size_t>(i)],
                             numeric,
                             0,
                             false};
      found.error_ratio = error_ratio(found.analytic, numeric, options);
      // For a smooth function the two one-sided slopes differ by about step * curvature.
      double bend = std::abs((above - here) - (here - below)) / options.step;
      found.on_kink = bend > 1e-3 * (1e-2 + std::abs(above - here) / options.step +
                                     std::abs(here - below) / options.step);
      report.kinks += found.on_kink;
      report.failures += found.error_ratio > 1;
      ++report.elements;
      if (worst.index.empty() || found.error_ratio > worst.error_ratio) worst = found;
    }
    if (x.numel() > 0) report.worst.push_back(std::move(worst));
  }
  report.ok = report.failures == 0;
  return report;
}

void check_parameters(const ParameterList& parameters, DType dtype, const char* name) {
  if (parameters.empty())
    fail(name, "no parameters were given; pass those whose gradients are to be checked");
  for (const NamedVar& parameter : parameters) {
    if (!parameter.var.is_parameter() || parameter.var.dtype() != dtype ||
        !parameter.var.value().is_contiguous()) {
      fail(name, fmt::format(
                     "\"{}\" is {}; expected a contiguous {} parameter, made by parameter(tensor)",
                     parameter.name,
                     parameter.var.defined() ? parameter.var.value().describe() : "undefined",
                     tapeloop::name(dtype)));
    }
  }
}

}  // namespace

ParameterList detail::numbered(std::span<const Var> vars) {
  ParameterList result;
  for (const Var& x : vars) result.push_back({fmt::format("input {}", result.size()), x});
  return result;
}

GradcheckReport detail::gradcheck(const CheckedFunction& function, const ParameterList& parameters,
                                  const GradcheckOptions& options) {
  check_parameters(parameters, DType::float64, "gradcheck");
  if (!(options.step > 0))
    fail("gradcheck", fmt::format("step is {}, expected more than 0", options.step));
  std::vector<Var> xs = vars_of(parameters);
  std::vector<Var> weights;
  Checked first;
  std::vector<std::string> unlisted;
  {
    Tape tape;
    std::vector<Var> ys = function();
    for (const Var& used : tape.parameters()) {
      bool listed = std::any_of(xs.begin(), xs.end(), [&](const Var& x) { return x.is(used); });
      if (!listed) unlisted.push_back(used.shape().str());
    }
    for (Tensor& w : upstreams(ys, options.seed)) weights.push_back(parameter(w));
    for (const Var& gradient : tape.gradient(weighted_sum(ys, weights), xs))
      first.gradients.push_back(gradient.value());
  }
  first.value = [&] {
    Tape tape;  // as in the analytic run: layers such as dropout act only while a tape records
    return weighted_sum(function(), weights).item();
  };
  GradcheckReport report = compare(first, parameters, options, "first order");
  report.unlisted = unlisted;
  if (!options.second_order || !report.ok) return report;

  // G = sum of v dL/dx with fixed random v: a scalar function of the parameters
  // and the upstream gradient.
  Random random(options.seed + 1);
  std::vector<Tensor> directions;
  for (const Var& x : xs) directions.push_back(upstream(x, random));
  ParameterList all = parameters;
  for (std::size_t i = 0; i < weights.size(); ++i)
    all.push_back({fmt::format("upstream gradient {}", i), weights[i]});
  auto gradient_sum = [&](Tape& tape) {
    std::vector<Var> gradients =
        tape.gradient(weighted_sum(function(), weights), xs, {.create_graph = true});
    return weighted_sum(gradients, {directions.begin(), directions.end()});
  };
  Checked second;
  {
    Tape tape;
    Var total = gradient_sum(tape);
    std::vector<Var> inputs = vars_of(all);
    if (total.requires_grad()) {
      for (const Var& gradient : tape.gradient(total, inputs))
        second.gradients.push_back(gradient.value());
    } else {  // a linear function: second derivatives are 0
      for (const Var& x : inputs)
        second.gradients.push_back(Tensor::zeros(x.shape(), DType::float64, x.device()));
    }
  }
  second.value = [&] {
    Tape tape;
    return gradient_sum(tape).item();
  };
  GradcheckReport deeper = compare(second, all, options, "first and second order");
  deeper.elements += report.elements;
  deeper.kinks += report.kinks;
  deeper.unlisted = unlisted;
  return deeper;
}

GradcheckReport detail::replay(const CheckedFunction& function, const ParameterList& parameters,
                               double tolerance, std::uint64_t seed) {
  check_parameters(parameters, DType::float32, "replay_in_float64");
  struct Run {
    std::vector<Tensor> tensors;  // results, then gradients
    std::vector<std::string> names;
  };
  std::vector<Var> xs = vars_of(parameters);
  auto run = [&] {
    Tape tape;
    std::vector<Var> ys = function();
    std::vector<Var> weights;
    for (const Tensor& w : upstreams(ys, seed)) weights.emplace_back(w);
    Run result;
    for (const Var& y : ys) {
      result.names.push_back(fmt::format("result {}", result.names.size()));
      result.tensors.push_back(y.value());
    }
    std::vector<Var> gradients = tape.gradient(weighted_sum(ys, weights), xs);
    for (std::size_t i = 0; i < xs.size(); ++i) {
      result.names.push_back("gradient of " + parameters[i].name);
      result.tensors.push_back(gradients[i].value());
    }
    return result;
  };
  Run narrow = run();
  std::vector<std::pair<Tensor, Var>> before;
  for (const Var& x : xs) before.emplace_back(x.value(), x.grad());
  Run wide;
  const auto run_wide = [&] {
    for (const Var& x : xs) x.set_value(x.value().to(DType::float64));
    wide = run();
  };
  then_restore(run_wide, [&] {
    for (std::size_t i = 0; i < xs.size(); ++i) {
      xs[i].set_value(before[i].first);
      xs[i].set_grad(before[i].second);
    }
  });

  GradcheckReport report;
  report.what = "float32 against float64";
  for (std::size_t k = 0; k < wide.tensors.size(); ++k) {
    std::vector<double> exact = wide.tensors[k].to_vector<double>();
    std::vector<double> found = narrow.tensors[k].to_vector<double>();
    double scale = 0;
    for (double value : exact) scale = std::max(scale, std::abs(value));
    GradcheckElement worst{.name = wide.names[k]};
    for (std::size_t i = 0; i < exact.size(); ++i) {
      double error = std::abs(found[i] - exact[i]);
      double ratio = error == 0 ? 0 : error / (tolerance * scale);
      if (!std::isfinite(found[i]) || !std::isfinite(exact[i])) ratio = INFINITY;
      report.failures += ratio > 1;
      ++report.elements;
      if (worst.index.empty() || ratio > worst.error_ratio) {
        worst = {wide.names[k], index_of(wide.tensors[k].shape(), static_cast<std::int64_t>(i)),
                 found[i],      exact[i],
                 ratio,         false};
      }
    }
    if (!exact.empty()) report.worst.push_back(std::move(worst));
  }
  report.ok = report.failures == 0;
  return report;
}

std::string GradcheckReport::str() const {
  bool replay = what == "float32 against float64";
  const char* left = replay ? "float32" : "analytic";
  const char* right = replay ? "float64" : "numeric";
  std::size_t width = 10;
  for (const GradcheckElement& element : worst) width = std::max(width, element.name.size());
  std::string text = fmt::format("gradcheck ({}): {}, {} elements, {} failed\n", what,
                                 ok ? "passed" : "FAILED", elements, failures);
  text += fmt::format("  {:<{}}  {:<14} {:>14} {:>14} {:>12}\n", "worst of", width, "at", left,
                      right, "error/limit");
  for (const GradcheckElement& element : worst) {
    text += fmt::format("  {:<{}}  {:<14} {:>14.7g} {:>14.7g} {:>12.2g}{}\n", element.name, width,
                        fmt::format("[{}]", fmt::join(element.index, ", ")), element.analytic,
                        element.numeric, element.error_ratio, element.on_kink ? "  on a kink" : "");
  }
  if (kinks > 0) {
    text += fmt::format(
        "  {} inputs are at a kink, where the slope jumps and a difference of values says nothing; "
        "move them away from the kink (for relu: from 0)\n",
        kinks);
  }
  if (!unlisted.empty()) {
    text += fmt::format(
        "  {} parameters took part that are not in the list, so gradcheck did not check them and "
        "an optimizer would not train them: {}; did visit() forget one?\n",
        unlisted.size(), fmt::join(unlisted, ", "));
  }
  if (!ok && kinks == 0 && what == "first and second order") {
    text +=
        "  The first derivative is right, the second is wrong: a backward function computes with a "
        "tensor, as .value() or .detach() gives it, but must compute with the Var, which has the "
        "history.\n";
  }
  const bool finite = std::all_of(worst.begin(), worst.end(), [](const GradcheckElement& element) {
    return std::isfinite(element.numeric);
  });
  if (!finite && !replay) {
    text +=
        "  The function itself is not finite there, so its gradient was not checked. Choose "
        "inputs within its domain; find_non_finite() says where it begins.\n";
  }
  if (!ok && kinks == 0 && finite && !replay) {
    text +=
        "  A ratio far above 1 is a wrong gradient. One near 1: try another step, or inputs of "
        "smaller size.\n";
  }
  return text;
}

}  // namespace tapeloop
