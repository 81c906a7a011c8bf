// SPDX-License-Identifier: MIT
// Rows for random programs: pointwise operations and reductions.
#include "tests/ops/random_programs.h"

namespace tapeloop::test {
namespace {

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

struct Domain {
  double low = -30, high = 30;
  std::vector<double> kinks = {};
  bool fits(const Array& x) const {
    return within(x, low, high) && std::all_of(kinks.begin(), kinks.end(), [&](double kink) {
             return within(x, low, high, {kink});
           });
  }
};

RandomOp unary(const char* name, const char* code, Var (*run)(const Var&), double (*loop)(double),
               const Domain& domain = {}) {
  const auto draw = [domain](Draw& d, Step& step) {
    step.args = {d.value([&](const Array& x) { return domain.fits(x); }, 0,
                         std::max(domain.low, -1.5), std::min(domain.high, 1.5))};
    return domain.fits(d.array(step.args[0]));
  };
  return {name, code, draw, [run](Inputs x, const Step&) { return run(x[0]); },
          [loop](Arrays x, const Step&) { return each(loop)(x); }};
}

// An operation on a value and a number between low and high.
RandomOp with_number(const char* name, const char* code, Var (*run)(const Var&, double),
                     double (*loop)(double, double), double low, double high,
                     const Domain& domain = {}) {
  const auto draw = [=](Draw& d, Step& step) {
    step.args = {d.value([&](const Array& x) { return domain.fits(x); }, 0,
                         std::max(domain.low, -1.5), std::min(domain.high, 1.5))};
    step.reals = {d.uniform(low, high) * (d.chance(0.5) && low < 1 ? 1 : -1)};
    if (domain.low > 0) step.reals[0] = std::abs(step.reals[0]);
    return domain.fits(d.array(step.args[0]));
  };
  return {name, code, draw, [run](Inputs x, const Step& s) { return run(x[0], s.reals[0]); },
          [loop](Arrays x, const Step& s) {
            return make_array(x[0].shape,
                              [&](const Index& i) { return loop(x[0].at(i), s.reals[0]); });
          }};
}

Array differences(const Array& a, const Array& b) {
  const Array both[] = {a, b};
  return each2([](double x, double y) { return x - y; })(both);
}
bool no_ties(const Array& a, const Array& b) { return within(differences(a, b), -60, 60, {0}); }

RandomOp binary(const char* name, const char* code, Var (*run)(const Var&, const Var&),
                double (*loop)(double, double), const Domain& first = {}, const Domain& second = {},
                bool kink_at_ties = false) {
  const auto draw = [=](Draw& d, Step& step) {
    const int a = d.value([&](const Array& x) { return first.fits(x); }, 0,
                          std::max(first.low, -1.5), std::min(first.high, 1.5));
    const int b = d.partner(a, std::max(second.low, -1.5), std::min(second.high, 1.5));
    step.args =
        d.chance(0.5) && first.low == second.low ? std::vector<int>{b, a} : std::vector<int>{a, b};
    return first.fits(d.array(a)) && second.fits(d.array(b)) &&
           (!kink_at_ties || no_ties(d.array(a), d.array(b)));
  };
  return {name, code, draw, [run](Inputs x, const Step&) { return run(x[0], x[1]); },
          [loop](Arrays x, const Step&) { return each2(loop)(x); }};
}

// --- reductions ---

std::vector<int> axes_of(const Step& step) {  // the first integer is `keep`
  return {step.ints.begin() + 1, step.ints.end()};
}

using Reduction = Var (*)(const Var&, std::span<const int>, bool keep);
// `fits` is 1 for elements that can be reduced, and 0 for others.
RandomOp reduction(const char* name, const char* code, Reduction run, Combine combine,
                   Combine fits) {
  const auto draw = [fits](Draw& d, Step& step) {
    step.args = {d.value(1)};
    const Array& x = d.array(step.args[0]);
    step.ints = {d.below(2)};
    for (int axis = 0; axis < x.shape.rank(); ++axis) {
      if (d.chance(0.5)) step.ints.push_back(d.chance(0.5) ? axis : axis - x.shape.rank());
    }
    if (step.ints.size() == 1) step.ints.push_back(-1);
    return within(reduced(x, axes_of(step), true, fits), 1, 1);
  };
  return {name, code, draw,
          [run](Inputs x, const Step& s) { return run(x[0], axes_of(s), s.ints[0] != 0); },
          [combine](Arrays x, const Step& s) {
            return reduced(x[0], axes_of(s), s.ints[0] != 0, combine);
          }};
}

double any_values(const std::vector<double>&) { return 1; }
double two_values(const std::vector<double>& values) { return values.size() > 1 ? 1 : 0; }
// The largest and the smallest element must be unique.
double clear_ends(const std::vector<double>& values) {
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const std::size_t n = sorted.size();
  return n < 2 ||
         (sorted[1] - sorted[0] >= kKinkDistance && sorted[n - 1] - sorted[n - 2] >= kKinkDistance);
}

RandomOp along_axis(const char* name, const char* code, Var (*run)(const Var&, int),
                    Array (*loops)(const Array&, int), bool (*fits)(const Array&, int)) {
  const auto draw = [fits](Draw& d, Step& step) {
    step.args = {d.value(1)};
    const Array& x = d.array(step.args[0]);
    const int axis = d.axis(x.shape);
    step.ints = {d.chance(0.5) ? axis : axis - x.shape.rank()};
    return fits(x, axis);
  };
  return {name, code, draw,
          [run](Inputs x, const Step& s) { return run(x[0], static_cast<int>(s.ints[0])); },
          [loops](Arrays x, const Step& s) {
            return loops(x[0], x[0].shape.axis(static_cast<int>(s.ints[0])));
          }};
}
bool any_axis(const Array&, int) { return true; }
Array log_softmax_of(const Array& x, int axis) {
  const Array total = reduced(x, {axis}, true, logsumexp_of);
  return make_array(x.shape, [&](const Index& i) { return x.at(i) - total.at(i); });
}

}  // namespace

std::vector<RandomOp> pointwise_rows() {
  const Domain positive{0.3, 3}, away{-30, 30, {0}};
  return {
      unary("exp", "exp($0)", exp, std::exp, {-8, 3.3}),
      unary("log", "log($0)", log, std::log, {0.2, 30}),
      unary("log1p", "log1p($0)", log1p, std::log1p, {-0.7, 30}),
      unary("sqrt", "sqrt($0)", sqrt, std::sqrt, {0.2, 30}),
      unary("square", "square($0)", square, [](double a) { return a * a; }, {-5.4, 5.4}),
      unary("abs", "abs($0)", abs, std::abs, away),
      unary("sin", "sin($0)", sin, std::sin),
      unary("cos", "cos($0)", cos, std::cos),
      unary("erf", "erf($0)", erf, std::erf),
      unary(
          "clamp", "clamp($0, -0.5, 0.75)", [](const Var& x) { return clamp(x, -0.5, 0.75); },
          [](double a) { return std::clamp(a, -0.5, 0.75); }, {-30, 30, {-0.5, 0.75}}),
      unary("tanh", "tanh($0)", tanh, std::tanh),
      unary("sigmoid", "sigmoid($0)", sigmoid, sigmoid_of),
      unary("softplus", "softplus($0)", softplus, [](double a) { return std::log1p(std::exp(a)); }),
      unary(
          "relu", "relu($0)", relu, [](double a) { return a > 0 ? a : 0; }, away),
      unary(
          "leaky_relu", "leaky_relu($0, 0.2)", [](const Var& x) { return leaky_relu(x, 0.2); },
          [](double a) { return a > 0 ? a : 0.2 * a; }, away),
      unary(
          "elu", "elu($0, 1.5)", [](const Var& x) { return elu(x, 1.5); },
          [](double a) { return a > 0 ? a : 1.5 * std::expm1(a); }, away),
      unary("gelu", "gelu($0)", gelu,
            [](double a) { return 0.5 * a * (1 + std::erf(a / std::sqrt(2.0))); }),
      unary("silu", "silu($0)", silu, [](double a) { return a * sigmoid_of(a); }),
      unary(
          "negative", "-$0", [](const Var& x) { return -x; }, [](double a) { return -a; }),
      unary(
          "detach", "0.5 * $0 + 0.0 * $0.detach()",
          [](const Var& x) { return 0.5 * x + 0.0 * x.detach(); },
          [](double a) { return 0.5 * a; }),
      with_number(
          "x+c", "$0 + %0", [](const Var& x, double c) { return x + c; },
          [](double a, double c) { return a + c; }, 0, 2),
      with_number(
          "c-x", "%0 - $0", [](const Var& x, double c) { return c - x; },
          [](double a, double c) { return c - a; }, 0, 2),
      with_number(
          "x*c", "$0 * %0", [](const Var& x, double c) { return x * c; },
          [](double a, double c) { return a * c; }, 0.3, 2),
      with_number(
          "x/c", "$0 / %0", [](const Var& x, double c) { return x / c; },
          [](double a, double c) { return a / c; }, 0.3, 2),
      with_number(
          "c/x", "%0 / $0", [](const Var& x, double c) { return c / x; },
          [](double a, double c) { return c / a; }, 0.3, 2, {0.3, 30}),
      with_number(
          "pow_c", "pow($0, %0)", [](const Var& x, double c) { return pow(x, c); },
          [](double a, double c) { return std::pow(a, c); }, 0.5, 2.5, positive),
      unary(
          "cube", "pow($0, 3.0)", [](const Var& x) { return pow(x, 3.0); },
          [](double a) { return a * a * a; }, {-3, 3}),
      binary(
          "add", "$0 + $1", [](const Var& a, const Var& b) { return a + b; },
          [](double a, double b) { return a + b; }),
      binary(
          "sub", "$0 - $1", [](const Var& a, const Var& b) { return a - b; },
          [](double a, double b) { return a - b; }),
      binary(
          "mul", "$0 * $1", [](const Var& a, const Var& b) { return a * b; },
          [](double a, double b) { return a * b; }),
      binary(
          "div", "$0 / $1", [](const Var& a, const Var& b) { return a / b; },
          [](double a, double b) { return a / b; }, {}, {0.3, 30}),
      binary(
          "pow", "pow($0, $1)", [](const Var& a, const Var& b) { return pow(a, b); },
          [](double a, double b) { return std::pow(a, b); }, positive, {-2, 2}),
      binary(
          "max", "max($0, $1)", [](const Var& a, const Var& b) { return max(a, b); },
          [](double a, double b) { return std::max(a, b); }, {}, {}, true),
      binary(
          "min", "min($0, $1)", [](const Var& a, const Var& b) { return min(a, b); },
          [](double a, double b) { return std::min(a, b); }, {}, {}, true),
      binary(
          "select", "select(less($0, $1), $1 * $1, $0)",
          [](const Var& a, const Var& b) { return select(less(a, b), b * b, a); },
          [](double a, double b) { return a < b ? b * b : a; }, {-5, 5}, {-5, 5}, true),
  };
}

std::vector<RandomOp> reduction_rows() {
  return {
      reduction(
          "sum", "sum($0, {axes}, keep);  // keep, axes: #*",
          [](const Var& x, std::span<const int> a, bool keep) { return sum(x, a, keep); }, sum_of,
          any_values),
      reduction(
          "mean", "mean($0, {axes}, keep);  // keep, axes: #*",
          [](const Var& x, std::span<const int> a, bool keep) { return mean(x, a, keep); }, mean_of,
          any_values),
      reduction(
          "max_axes", "max($0, {axes}, keep);  // keep, axes: #*",
          [](const Var& x, std::span<const int> a, bool keep) { return max(x, a, keep); }, max_of,
          clear_ends),
      reduction(
          "min_axes", "min($0, {axes}, keep);  // keep, axes: #*",
          [](const Var& x, std::span<const int> a, bool keep) { return min(x, a, keep); }, min_of,
          clear_ends),
      reduction(
          "logsumexp", "logsumexp($0, {axes}, keep);  // keep, axes: #*",
          [](const Var& x, std::span<const int> a, bool keep) { return logsumexp(x, a, keep); },
          logsumexp_of, any_values),
      reduction(
          "var", "var($0, {axes}, 1, keep);  // keep, axes: #*",
          [](const Var& x, std::span<const int> a, bool keep) { return var(x, a, 1, keep); },
          var_of, two_values),
      reduction(
          "var_biased", "var($0, {axes}, 0, keep);  // keep, axes: #*",
          [](const Var& x, std::span<const int> a, bool keep) { return var(x, a, 0, keep); },
          biased_var_of, any_values),
      along_axis(
          "prod", "prod($0, #0)", [](const Var& x, int axis) { return prod(x, axis); },
          [](const Array& x, int axis) { return reduced(x, {axis}, false, prod_of); }, any_axis),
      along_axis(
          "cumsum", "cumsum($0, #0)", cumsum,
          [](const Array& x, int axis) {
            return make_array(x.shape, [&](const Index& i) {
              double total = 0;
              for (std::int64_t k = 0; k <= i[static_cast<std::size_t>(axis)]; ++k) {
                total += x.at(with(i, axis, k));
              }
              return total;
            });
          },
          any_axis),
      along_axis(
          "norm", "norm($0)", [](const Var& x, int) { return norm(x); },
          [](const Array& x, int) {
            return Array{{}, {norm_of(x.values)}};
          },
          [](const Array& x, int) { return norm_of(x.values) > 0.3; }),
      along_axis(
          "softmax", "softmax($0, #0)", softmax,
          [](const Array& x, int axis) {
            Array y = log_softmax_of(x, axis);
            for (double& v : y.values) v = std::exp(v);
            return y;
          },
          any_axis),
      along_axis("log_softmax", "log_softmax($0, #0)", log_softmax, log_softmax_of, any_axis),
  };
}

}  // namespace tapeloop::test
