// SPDX-License-Identifier: MIT
// The table of ops_test.cpp: one or more rows for each operation of ops.h and losses.h, each with
// plain loops that compute the same. Checks nothing itself.
#pragma once

#include <complex>

#include "tapeloop/autograd/ops/scan.h"
#include "tests/ops/convolution_cases.h"
#include "tests/ops/function_cases.h"

namespace tapeloop::test {

inline double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }
inline double gelu_of(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

// The rows of function_cases.h and convolution_cases.h, and then those given.
inline std::vector<OpCase> functions_and(std::initializer_list<OpCase> others) {
  std::vector<OpCase> rows;
  for (const FunctionCase& row : function_cases()) {
    const auto op = [run = row.op](Inputs x) { return run(x[0]); };
    rows.push_back({row.name, {{N, 2}}, op, each(row.of_double), row.settings});
  }
  for (OpCase& row : convolution_cases()) rows.push_back(std::move(row));
  rows.insert(rows.end(), others);
  return rows;
}

inline const std::vector<OpCase>& op_table() {
  // The slice [start, stop) by steps, as loops.
  const auto sliced = [](int axis, std::int64_t start, std::int64_t stop,
                         std::int64_t step) -> Loops {
    return [=](Arrays x) {
      return make_array(
          x[0].shape.with(axis, (stop - start + step - 1) / step), [&](const Index& i) {
            return x[0].at(with(i, axis, start + step * i[static_cast<std::size_t>(axis)]));
          });
    };
  };
  // The same elements, row-major, in another shape; N stands for the remaining size.
  const auto reshaped = [](const std::vector<std::int64_t>& sizes) -> Loops {
    return [=](Arrays x) {
      std::int64_t others = 1;
      for (std::int64_t size : sizes) others *= size == N ? 1 : size;
      std::vector<std::int64_t> found = sizes;
      for (std::int64_t& size : found) size = size == N ? x[0].shape.numel() / others : size;
      return Array{Shape(found), x[0].values};
    };
  };
  const auto softmaxed = [](int axis, bool logarithm) -> Loops {
    return [=](Arrays x) {
      const Array total = reduced(x[0], {axis}, true, logsumexp_of);
      return make_array(x[0].shape, [&](const Index& i) {
        const double y = x[0].at(i) - total.at(i);
        return logarithm ? y : std::exp(y);
      });
    };
  };
  const auto loss = [](double (*item)(double, double), Reduce how) -> Loops {
    return [=](Arrays x) {
      const Array items = each2(item)(x);
      if (how == Reduce::none) return items;
      return Array{{}, {how == Reduce::sum ? sum_of(items.values) : mean_of(items.values)}};
    };
  };
  const auto huber_of = [](double x, double t) {
    const double e = std::abs(x - t);
    return e <= 0.7 ? 0.5 * e * e : 0.7 * (e - 0.35);
  };
  const auto targets = [](const Shape& logits) {  // every third one is ignored (-100)
    Tensor target = numbers(logits.removed(-1), logits.dim(-1)).clone();
    for (std::int64_t i = 1; i < target.numel(); i += 3) target.data<std::int64_t>()[i] = -100;
    return target;
  };
  static const std::vector<double> kWeights = {0.5, 2.0, 1.25, 0.25, 3.0};
  const auto class_weights = [](const Var& like) {
    return Var(Tensor::from(Shape{5}, kWeights).to(like.dtype()).to(like.device()));
  };
  const auto cross = [targets, class_weights](const CrossEntropyLoops& o) {
    return [=](Inputs x) {
      CrossEntropyOptions options{
          .ignore_index = o.ignored, .label_smoothing = o.smoothing, .reduce = o.reduce};
      if (!o.weights.empty()) options.class_weights = class_weights(x[0]);
      return cross_entropy(x[0], targets(x[0].shape()), options);
    };
  };
  const auto cross_loops = [targets](const CrossEntropyLoops& o) -> Loops {
    return [=](Arrays x) { return o(x[0], targets(x[0].shape)); };
  };
  const auto dropped = [](Arrays x) {
    std::int64_t n = 0;
    return make_array(x[0].shape, [&](const Index& i) {
      const bool gone = uniform_at(99, static_cast<std::uint64_t>(n++)) < 0.25f;
      return gone ? 0.0 : x[0].at(i) / 0.75;
    });
  };
  const auto normalized = [](Arrays x) {
    const Array mean = reduced(x[0], {-1}, true, mean_of);
    const Array var = reduced(x[0], {-1}, true, biased_var_of);
    return make_array(x[0].shape, [&](const Index& i) {
      return (x[0].at(i) - mean.at(i)) / std::sqrt(var.at(i) + 1e-5) * x[1].at(i) + x[2].at(i);
    });
  };
  const auto affine = [](Arrays x) {
    Array y = product(x[0], transposed(x[1]));
    return x.size() < 3 ? y
                        : make_array(y.shape, [&](const Index& i) { return y.at(i) + x[2].at(i); });
  };
  // Step after step, for one number of one row.
  const auto scanned = [](const ScanOptions& o) -> Loops {
    return [=](Arrays x) {
      const Shape& shape = x[1].shape;
      const std::int64_t parts = o.kind == ScanKind::complex ? 2 : 1, units = shape[2] / parts;
      const auto part_of = [&](const Array& array, const Index& i, int part) {
        Index at = i;
        at[2] += part * units;
        at.erase(at.begin(), at.begin() + 3 - array.shape.rank());
        for (int axis = 0; axis < array.shape.rank(); ++axis) {
          if (array.shape[axis] == 1) at[static_cast<std::size_t>(axis)] = 0;
        }
        return array.at(at);
      };
      const auto number = [&](const Array& array, const Index& i) {
        return std::complex<double>(part_of(array, i, 0), parts == 2 ? part_of(array, i, 1) : 0);
      };
      return make_array(shape, [&](const Index& i) {
        const std::int64_t unit = i[2] % units;
        const bool is_log = o.kind == ScanKind::log;
        std::complex<double> h = 0;
        if (x.size() > 2) h = number(x[2], {0, i[1], unit});
        if (is_log) h = x.size() > 2 ? std::exp(h) : 0.0;
        for (std::int64_t n = 0; n < shape[0]; ++n) {
          const std::int64_t t = o.reverse ? shape[0] - 1 - n : n;
          const auto a = number(x[0], {t, i[1], unit}), b = number(x[1], {t, i[1], unit});
          h = is_log ? std::exp(a) * h + std::exp(b) : a * h + b;
          if (t == i[0]) break;
        }
        if (is_log) h = std::log(h);
        return i[2] < units ? h.real() : h.imag();
      });
    };
  };
  const auto rows_of = [](Arrays x) {
    const Array index = array_of(numbers({2, 5}, x[0].shape[0]));
    return make_array({2, 5, x[0].shape[1]}, [&](const Index& i) {
      return x[0].at({static_cast<std::int64_t>(index.at({i[0], i[1]})), i[2]});
    });
  };
  const auto add2 = [](double a, double b) { return a + b; };

  // clang-format off: a row stays a row
  static const std::vector<OpCase> kTable = functions_and({
      // --- arithmetic, and every kind of broadcasting ---
      {"add", {{N, 3}, {N, 3}}, [](Inputs x) { return x[0] + x[1]; }, each2(add2), {.large = 30000}},
      {"add, row", {{N, 3}, {3}}, [](Inputs x) { return add(x[0], x[1]); }, each2(add2), {.large = 30000}},
      {"add, column", {{N, 3}, {N, 1}}, [](Inputs x) { return x[0] + x[1]; }, each2(add2), {.large = 30000}},
      {"add, outer", {{N, 1}, {1, 4}}, [](Inputs x) { return x[0] + x[1]; }, each2(add2), {.large = 30000}},
      {"add, scalar", {{}, {2, N}}, [](Inputs x) { return x[0] + x[1]; }, each2(add2)},
      {"add, 6 axes", {{2, 1, 2, 1, N, 1}, {1, 3, 1, 2, 1, 2}}, [](Inputs x) { return x[0] + x[1]; }, each2(add2)},
      {"sub", {{N, 2}, {2}}, [](Inputs x) { return x[0] - x[1]; }, each2([](double a, double b) { return a - b; })},
      {"mul", {{2, N, 1}, {N, 3}}, [](Inputs x) { return x[0] * x[1]; },
       each2([](double a, double b) { return a * b; })},
      {"div", {{N, 2}, {2}}, [](Inputs x) { return x[0] / x[1]; },
       each2([](double a, double b) { return a / b; }), {.low = 0.5, .high = 2}},
      {"x + c", {{N}}, [](Inputs x) { return 2.5 + (x[0] + 1.5); }, each([](double a) { return a + 4.0; })},
      {"x - c", {{N}}, [](Inputs x) { return x[0] - 1.5; }, each([](double a) { return a - 1.5; })},
      {"c - x", {{N}}, [](Inputs x) { return 1.5 - x[0]; }, each([](double a) { return 1.5 - a; })},
      {"x * c", {{N}}, [](Inputs x) { return 3.0 * (x[0] * -1.5); }, each([](double a) { return a * -4.5; })},
      {"x / c", {{N}}, [](Inputs x) { return x[0] / 3.0; }, each([](double a) { return a / 3.0; })},
      {"c / x", {{N}}, [](Inputs x) { return 3.0 / x[0]; },
       each([](double a) { return 3.0 / a; }), {.low = 0.5, .high = 2}},
      {"-x", {{N}}, [](Inputs x) { return -x[0]; }, each([](double a) { return -a; })},
      {"pow", {{N, 2}, {2}}, [](Inputs x) { return pow(x[0], x[1]); },
       each2([](double a, double b) { return std::pow(a, b); }), {.low = 0.3, .high = 2}},
      {"pow, constant", {{N, 2}}, [](Inputs x) { return pow(x[0], 2.5); },
       each([](double a) { return std::pow(a, 2.5); }), {.low = 0.3, .high = 2}},
      {"pow, cube", {{N, 2}}, [](Inputs x) { return pow(x[0], 3.0); }, each([](double a) { return a * a * a; })},
      {"max", {{N, 2}, {2}}, [](Inputs x) { return max(x[0], x[1]); },
       each2([](double a, double b) { return std::max(a, b); })},
      {"min", {{N, 2}, {2}}, [](Inputs x) { return min(x[0], x[1]); },
       each2([](double a, double b) { return std::min(a, b); })},

      // --- activations; functions of functions.h: function_cases.h ---
      {"clamp", {{N, 2}}, [](Inputs x) { return clamp(x[0], -0.5, 0.75); },
       each([](double a) { return std::clamp(a, -0.5, 0.75); })},
      {"relu", {{N, 2}}, [](Inputs x) { return relu(x[0]); }, each([](double a) { return a > 0 ? a : 0.0; })},
      {"leaky_relu", {{N, 2}}, [](Inputs x) { return leaky_relu(x[0], 0.2); },
       each([](double a) { return a > 0 ? a : 0.2 * a; })},
      {"elu", {{N, 2}}, [](Inputs x) { return elu(x[0], 1.5); },
       each([](double a) { return a > 0 ? a : 1.5 * (std::exp(a) - 1); })},
      {"gelu", {{N, 2}}, [](Inputs x) { return gelu(x[0]); }, each(gelu_of)},
      {"silu", {{N, 2}}, [](Inputs x) { return silu(x[0]); }, each([](double a) { return a * sigmoid_of(a); })},
      {"softsign", {{N, 2}}, [](Inputs x) { return softsign(x[0]); }, each([](double a) { return a / (1 + std::abs(a)); })},
      {"select", {{N, 2}, {2}}, [](Inputs x) { return select(less(x[0], Var(Tensor::zeros({}, x[0].dtype(), x[0].device()))), x[0], x[1]); },
       each2([](double a, double b) { return a < 0 ? a : b; })},
      {"sign, less, equal as constants", {{N, 2}, {2}},
       [](Inputs x) { return x[0] * sign(x[0]) + x[1] * less(x[0], x[1]) + x[0] * equal(x[0], x[0]); },
       each2([](double a, double b) { return std::abs(a) + (a < b ? b : 0.0) + a; })},

      // --- shape ---
      {"reshape", {{2, N, 3}}, [](Inputs x) { return reshape(x[0], {3, -1, 1}); },
       reshaped({3, N, 1}), {.empty = false}},
      {"reshape to Shape", {{4, N}}, [](Inputs x) { return reshape(x[0], Shape{2, x[0].dim(1), 2}); },
       reshaped({2, N, 2})},
      {"reshape of a transpose", {{N, 4}}, [](Inputs x) { return reshape(transpose(x[0]), {2, 2, x[0].dim(0)}); },
       [](Arrays x) { return Array{{2, 2, x[0].shape[0]}, transposed(x[0]).values}; }, {.large = 30000}},
      {"flatten", {{N, 3, 2}}, [](Inputs x) { return flatten(x[0]); }, reshaped({N, 6})},
      {"transpose", {{2, N, 3}}, [](Inputs x) { return transpose(x[0]); }, [](Arrays x) { return transposed(x[0]); }},
      {"transpose 0 2", {{2, N, 3}}, [](Inputs x) { return transpose(x[0], 0, -1); },
       [](Arrays x) {
         return make_array({3, x[0].shape[1], 2}, [&](const Index& i) { return x[0].at({i[2], i[1], i[0]}); });
       }},
      {"permute", {{2, N, 3}}, [](Inputs x) { return permute(x[0], {2, 0, -2}); },
       [](Arrays x) {
         return make_array({3, 2, x[0].shape[1]}, [&](const Index& i) { return x[0].at({i[1], i[2], i[0]}); });
       }},
      {"insert_axis", {{2, N}}, [](Inputs x) { return insert_axis(x[0], 1) * insert_axis(x[0], -2); },
       [](Arrays x) {
         return make_array({2, 1, x[0].shape[1]}, [&](const Index& i) { return std::pow(x[0].at({i[0], i[2]}), 2); });
       }},
      {"expand", {{N, 1}}, [](Inputs x) { return expand(x[0], {2, x[0].dim(0), 4}); },
       [](Arrays x) { return make_array({2, x[0].shape[0], 4}, [&](const Index& i) { return x[0].at(i); }); }},
      {"sum_to", {{2, N, 3}}, [](Inputs x) { return sum_to(x[0], {x[0].dim(1), 1}); },
       [](Arrays x) {
         Array y = reduced(x[0], {0, 2}, true, sum_of);
         y.shape = y.shape.removed(0);
         return y;
       }},
      {"flip", {{2, N}}, [](Inputs x) { return flip(x[0], -1); },
       [](Arrays x) {
         return make_array(x[0].shape, [&](const Index& i) { return x[0].at({i[0], x[0].shape[1] - 1 - i[1]}); });
       }},
      {"pad", {{2, N, 3}}, [](Inputs x) { return pad(x[0], {{-1, 1, 2}, {0, 0, 1}}); },
       [](Arrays x) {
         return make_array(x[0].shape.with(2, 6).with(0, 3), [&](const Index& i) {
           return i[0] > 1 || i[2] < 1 || i[2] > 3 ? 0.0 : x[0].at(with(i, 2, i[2] - 1));
         });
       }},
      {"slice", {{5, N}}, [](Inputs x) { return slice(x[0], 0, 1, 4); }, sliced(0, 1, 4, 1)},
      {"slice, steps", {{N, 7}}, [](Inputs x) { return slice(x[0], -1, 1, 7, 3); }, sliced(1, 1, 7, 3)},
      {"slice, empty", {{N, 7}}, [](Inputs x) { return slice(x[0], 1, 3, 3); }, sliced(1, 3, 3, 1)},
      {"slices overlap", {{5, N}}, [](Inputs x) { return slice(x[0], 0, 0, 4) * slice(x[0], 0, 1, 5); },
       [](Arrays x) {
         return make_array({4, x[0].shape[1]}, [&](const Index& i) { return x[0].at(i) * x[0].at({i[0] + 1, i[1]}); });
       }},
      {"select_index", {{3, N}}, [](Inputs x) { return select_index(x[0], 0, -1) * select_index(x[0], 0, 0); },
       [](Arrays x) {
         return make_array({x[0].shape[1]}, [&](const Index& i) { return x[0].at({2, i[0]}) * x[0].at({0, i[0]}); });
       }},
      {"concat", {{2, N}, {2, 2}, {2, N}}, [](Inputs x) { return concat(x, -1); },
       [](Arrays x) {
         const std::int64_t n = x[0].shape[1];
         return make_array({2, 2 * n + 2}, [&](const Index& i) {
           if (i[1] < n) return x[0].at(i);
           return i[1] < n + 2 ? x[1].at({i[0], i[1] - n}) : x[2].at({i[0], i[1] - n - 2});
         });
       }},
      {"stack", {{2, N}, {2, N}}, [](Inputs x) { return stack(x, -1); },
       [](Arrays x) {
         return make_array({2, x[0].shape[1], 2},
                           [&](const Index& i) { return x[static_cast<std::size_t>(i[2])].at({i[0], i[1]}); });
       }},
      {"split", {{N, 6}},
       [](Inputs x) {
         const std::int64_t sizes[] = {1, 3, 2};
         auto parts = split(x[0], sizes, 1);
         return concat({parts[2], parts[0]}, 1);  // one part unused
       },
       [](Arrays x) {
         return make_array(x[0].shape.with(1, 3), [&](const Index& i) { return x[0].at({i[0], i[1] < 2 ? i[1] + 4 : 0}); });
       }},
      {"chunk", {{6, N}}, [](Inputs x) { auto p = chunk(x[0], 3, 0); return p[0] * p[2] + p[0]; },
       [](Arrays x) {
         return make_array(x[0].shape.with(0, 2),
                           [&](const Index& i) { return x[0].at(i) * x[0].at({i[0] + 4, i[1]}) + x[0].at(i); });
       }},
      {"unstack", {{2, 3, N}}, [](Inputs x) { auto p = unstack(x[0], 1); return p[0] - p[2]; },
       [](Arrays x) {
         return make_array({2, x[0].shape[2]},
                           [&](const Index& i) { return x[0].at({i[0], 0, i[1]}) - x[0].at({i[0], 2, i[1]}); });
       }},
      {"tril", {{2, 4, N}}, [](Inputs x) { return tril(x[0]); },
       [](Arrays x) { return make_array(x[0].shape, [&](const Index& i) { return i[2] <= i[1] ? x[0].at(i) : 0.0; }); }},
      {"tril, diagonal -1", {{N, 4}}, [](Inputs x) { return tril(x[0], -1); },
       [](Arrays x) { return make_array(x[0].shape, [&](const Index& i) { return i[1] < i[0] ? x[0].at(i) : 0.0; }); }},
      {"to", {{2, N}}, [](Inputs x) { return to(to(x[0], DType::float64), x[0].dtype()); },
       each([](double a) { return a; })},

      // --- reductions over every subset of the axes ---
      {"sum", {{2, N, 4}}, [](Inputs x) { return sum(x[0]); }, over({0, 1, 2}, false, sum_of), {.large = 9000}},
      {"sum 0", {{2, N, 4}}, [](Inputs x) { return sum(x[0], {0}); }, over({0}, false, sum_of), {.large = 9000}},
      {"sum 1", {{2, N, 4}}, [](Inputs x) { return sum(x[0], {1}); }, over({1}, false, sum_of), {.large = 9000}},
      {"sum 2", {{2, N, 4}}, [](Inputs x) { return sum(x[0], {2}); }, over({2}, false, sum_of), {.large = 9000}},
      {"sum 0 1", {{2, N, 4}}, [](Inputs x) { return sum(x[0], {0, 1}); },
       over({0, 1}, false, sum_of), {.large = 9000}},
      {"sum 2 0", {{2, N, 4}}, [](Inputs x) { return sum(x[0], {2, 0}); },
       over({0, 2}, false, sum_of), {.large = 9000}},
      {"sum 1 2, keep", {{2, N, 4}}, [](Inputs x) { return sum(x[0], {1, -1}, true); }, over({1, 2}, true, sum_of)},
      {"sum of none", {{2, N}}, [](Inputs x) { return sum(x[0], std::span<const int>()); }, over({}, false, sum_of)},
      {"mean", {{2, N}}, [](Inputs x) { return mean(x[0]); }, over({0, 1}, false, mean_of), {.empty = false}},
      {"mean 1, keep", {{2, N}}, [](Inputs x) { return mean(x[0], {1}, true); },
       over({1}, true, mean_of), {.empty = false}},
      {"max over axes", {{2, N, 3}}, [](Inputs x) { return max(x[0], {1, 2}); },
       over({1, 2}, false, max_of), {.empty = false, .large = 9000}},
      {"max 0, keep", {{3, N}}, [](Inputs x) { return max(x[0], {0}, true); }, over({0}, true, max_of)},
      {"min over axes", {{3, N}}, [](Inputs x) { return min(x[0], {-1}); }, over({1}, false, min_of), {.empty = false}},
      {"logsumexp", {{2, N}}, [](Inputs x) { return logsumexp(x[0], {1}); },
       over({1}, false, logsumexp_of), {.empty = false, .large = 30000}},
      {"logsumexp 0 2, keep", {{2, N, 3}}, [](Inputs x) { return logsumexp(x[0], {0, 2}, true); },
       over({0, 2}, true, logsumexp_of)},
      {"var", {{N, 4}}, [](Inputs x) { return var(x[0], {1}); }, over({1}, false, var_of)},
      {"var, biased, keep", {{N, 4}}, [](Inputs x) { return var(x[0], {0, 1}, 0, true); },
       over({0, 1}, true, biased_var_of), {.empty = false}},
      {"prod", {{2, N}}, [](Inputs x) { return prod(x[0], 1); }, over({1}, false, prod_of)},
      {"prod 0, keep", {{5, N}}, [](Inputs x) { return prod(x[0], 0, true); }, over({0}, true, prod_of)},
      {"cumsum", {{2, N}}, [](Inputs x) { return cumsum(x[0], -1); },
       [](Arrays x) {
         return make_array(x[0].shape, [&](const Index& i) {
           double total = 0;
           for (std::int64_t k = 0; k <= i[1]; ++k) total += x[0].at({i[0], k});
           return total;
         });
       }},
      {"norm", {{2, N}}, [](Inputs x) { return norm(x[0]); }, over({0, 1}, false, norm_of), {.empty = false}},

      // --- rows of logits ---
      {"softmax", {{N, 4}}, [](Inputs x) { return softmax(x[0]); }, softmaxed(1, false), {.large = 9000}},
      {"softmax 0", {{4, N}}, [](Inputs x) { return softmax(x[0], 0); }, softmaxed(0, false)},
      {"log_softmax", {{2, N}}, [](Inputs x) { return log_softmax(x[0]); }, softmaxed(1, true), {.empty = false}},
      {"log_softmax 1", {{2, 3, N}}, [](Inputs x) { return log_softmax(x[0], 1); }, softmaxed(1, true)},

      // --- products: N rows, N inner, N columns; vectors; batches to either side ---
      {"matmul", {{N, 4}, {4, 3}}, [](Inputs x) { return matmul(x[0], x[1]); }, products, {.large = 3000}},
      {"matmul, inner", {{2, N}, {N, 3}}, [](Inputs x) { return matmul(x[0], x[1]); }, products, {.large = 20000}},
      {"matmul, columns", {{2, 3}, {3, N}}, [](Inputs x) { return matmul(x[0], x[1]); }, products, {.large = 9000}},
      {"matmul, one row", {{1, N}, {N, 3}}, [](Inputs x) { return matmul(x[0], x[1]); }, products},
      {"matmul, vector matrix", {{N}, {N, 3}}, [](Inputs x) { return matmul(x[0], x[1]); }, products},
      {"matmul, matrix vector", {{3, N}, {N}}, [](Inputs x) { return matmul(x[0], x[1]); }, products},
      {"matmul, vectors", {{N}, {N}}, [](Inputs x) { return matmul(x[0], x[1]); }, products},
      {"matmul, batch", {{N, 2, 3}, {N, 3, 2}}, [](Inputs x) { return matmul(x[0], x[1]); }, products, {.large = 300}},
      {"matmul, batch left", {{N, 2, 3}, {3, 4}}, [](Inputs x) { return matmul(x[0], x[1]); }, products},
      {"matmul, batch right", {{2, 3}, {N, 3, 4}}, [](Inputs x) { return matmul(x[0], x[1]); }, products},
      {"matmul, batches crossed", {{2, 1, 2, N}, {3, N, 2}}, [](Inputs x) { return matmul(x[0], x[1]); }, products},
      {"matmul, batch times vector", {{2, 3, N}, {N}}, [](Inputs x) { return matmul(x[0], x[1]); }, products},
      {"matmul, vector times batch", {{N}, {2, N, 3}}, [](Inputs x) { return matmul(x[0], x[1]); }, products},
      {"matmul, transposed", {{4, N}, {3, 4}}, [](Inputs x) { return matmul(transpose(x[0]), transpose(x[1])); },
       [](Arrays x) { return product(transposed(x[0]), transposed(x[1])); }},
      {"linear", {{N, 4}, {3, 4}, {3}}, [](Inputs x) { return linear(x[0], x[1], x[2]); }, affine, {.large = 3000}},
      {"linear, no bias", {{2, N, 4}, {3, 4}}, [](Inputs x) { return linear(x[0], x[1]); }, affine},
      {"linear, addend", {{2, N, 4}, {3, 4}, {N, 3}}, [](Inputs x) { return linear(x[0], x[1], x[2]); }, affine},
      {"linear, vector", {{4}, {N, 4}, {N}}, [](Inputs x) { return linear(x[0], x[1], x[2]); },
       [](Arrays x) {
         return make_array(x[2].shape, [&](const Index& i) {
           double total = x[2].at(i);
           for (std::int64_t k = 0; k < 4; ++k) total += x[0].at({k}) * x[1].at({i[0], k});
           return total;
         });
       }},
      {"linear, inner", {{2, N}, {3, N}, {3}}, [](Inputs x) { return linear(x[0], x[1], x[2]); }, affine},
      {"linear_groups", {{N, 6}, {12, 2}, {12}}, [](Inputs x) { return linear_groups(x[0], x[1], 3, x[2]); },
       [](Arrays x) {
         return make_array({x[0].shape[0], 12}, [&](const Index& i) {
           double sum = x[2].at({i[1]});
           for (std::int64_t k = 0; k < 2; ++k) sum += x[0].at({i[0], i[1] % 6 / 2 * 2 + k}) * x[1].at({i[1], k});
           return sum;
         });
       }},
      {"linear_groups, one group", {{2, N, 3}, {3, 3}}, [](Inputs x) { return linear_groups(x[0], x[1], 1); },
       [](Arrays x) {
         return make_array({2, x[0].shape[1], 3}, [&](const Index& i) {
           double sum = 0;
           for (std::int64_t k = 0; k < 3; ++k) sum += x[0].at({i[0], i[1], k}) * x[1].at({i[2], k});
           return sum;
         });
       }},
      {"linear_each", {{3, N, 4}, {N, 2, 4}}, [](Inputs x) { return linear_each(x[0], x[1]); },
       [](Arrays x) {
         return make_array({3, x[0].shape[1], 2}, [&](const Index& i) {
           double sum = 0;
           for (std::int64_t k = 0; k < 4; ++k) sum += x[0].at({i[0], i[1], k}) * x[1].at({i[1], i[2], k});
           return sum;
         });
       }},
      {"linear_each, one step", {{N, 4}, {N, 3, 4}}, [](Inputs x) { return linear_each(x[0], x[1]); },
       [](Arrays x) {
         return make_array({x[0].shape[0], 3}, [&](const Index& i) {
           double sum = 0;
           for (std::int64_t k = 0; k < 4; ++k) sum += x[0].at({i[0], k}) * x[1].at({i[0], i[1], k});
           return sum;
         });
       }},
      // --- scans: N steps, N rows, N units ---
      {"linear_scan", {{N, 2, 3}, {N, 2, 3}, {2, 3}}, [](Inputs x) { return linear_scan(x[0], x[1], x[2]); },
       scanned({}), {.large = 4000}},
      {"linear_scan, units", {{4, 3, N}, {4, 3, N}, {3, N}}, [](Inputs x) { return linear_scan(x[0], x[1], x[2]); },
       scanned({}), {.large = 5000}},
      {"linear_scan, rows, constant a", {{3}, {4, N, 3}, {N, 3}},
       [](Inputs x) { return linear_scan(x[0], x[1], x[2]); }, scanned({}), {.large = 5000}},
      {"linear_scan, one a for all, no start", {{4, 1, 1}, {4, N, 3}},
       [](Inputs x) { return linear_scan(x[0], x[1]); }, scanned({})},
      {"linear_scan, reverse", {{N, 2, 3}, {N, 2, 3}, {2, 3}},
       [](Inputs x) { return linear_scan(x[0], x[1], x[2], {.reverse = true}); }, scanned({.reverse = true})},
      {"linear_scan, complex", {{N, 2, 4}, {N, 2, 4}, {2, 4}},
       [](Inputs x) { return linear_scan(x[0], x[1], x[2], {.kind = ScanKind::complex}); },
       scanned({.kind = ScanKind::complex}), {.large = 3000}},
      {"linear_scan, complex, constant a, reverse", {{6}, {4, N, 6}, {N, 6}},
       [](Inputs x) { return linear_scan(x[0], x[1], x[2], {.kind = ScanKind::complex, .reverse = true}); },
       scanned({.kind = ScanKind::complex, .reverse = true})},
      {"linear_scan, log", {{N, 2, 3}, {N, 2, 3}, {2, 3}},
       [](Inputs x) { return linear_scan(x[0], x[1], x[2], {.kind = ScanKind::log}); },
       scanned({.kind = ScanKind::log}), {.large = 300}},
      {"linear_scan, log, constant a, no start, reverse", {{3}, {4, N, 3}},
       [](Inputs x) { return linear_scan(x[0], x[1], Var(), {.kind = ScanKind::log, .reverse = true}); },
       scanned({.kind = ScanKind::log, .reverse = true})},
      {"linear, shared weight", {{N, 3}, {3, 3}, {3}},
       [](Inputs x) { return linear(linear(x[0], x[1], x[2]), x[1], x[2]); },
       [affine](Arrays x) {
         const Array once[] = {affine(x), x[1], x[2]};
         return affine(once);
       }},

      // --- indices, most of them repeated ---
      {"embedding", {{4, N}}, [](Inputs x) { return embedding(x[0], numbers({2, 5}, x[0].dim(0))); },
       rows_of, {.large = 9000}},
      {"take 0", {{N, 3}}, [](Inputs x) { return take(x[0], numbers({5}, x[0].dim(0)), 0); },
       [](Arrays x) {
         const Array index = array_of(numbers({5}, x[0].shape[0]));
         return make_array({5, 3}, [&](const Index& i) {
           return x[0].at({static_cast<std::int64_t>(index.at({i[0]})), i[1]});
         });
       }, {.empty = false}},
      {"add_rows", {{5, N}}, [](Inputs x) { return add_rows(x[0], numbers({5}, 3), 4); },
       [](Arrays x) {
         const Array index = array_of(numbers({5}, 3));
         return make_array({4, x[0].shape[1]}, [&](const Index& i) {
           double sum = 0;
           for (std::int64_t from = 0; from < 5; ++from) {
             if (index.at({from}) == static_cast<double>(i[0])) sum += x[0].at({from, i[1]});
           }
           return sum;
         });
       }},
      {"take -1", {{2, 3, N}}, [](Inputs x) { return take(x[0], numbers({4}, x[0].dim(-1)), -1); },
       [](Arrays x) {
         const Array index = array_of(numbers({4}, x[0].shape[2]));
         return make_array({2, 3, 4}, [&](const Index& i) {
           return x[0].at({i[0], i[1], static_cast<std::int64_t>(index.at({i[2]}))});
         });
       }, {.empty = false}},
      {"gather", {{2, N}}, [](Inputs x) { return gather(x[0], numbers({2, 4}, x[0].dim(1)), 1); },
       [](Arrays x) {
         const Array index = array_of(numbers({2, 4}, x[0].shape[1]));
         return make_array({2, 4}, [&](const Index& i) {
           return x[0].at({i[0], static_cast<std::int64_t>(index.at(i))});
         });
       }, {.empty = false}},
      {"gather 0", {{3, N}}, [](Inputs x) { return gather(x[0], numbers({5, x[0].dim(1)}, 3), -2); },
       [](Arrays x) {
         const Array index = array_of(numbers({5, x[0].shape[1]}, 3));
         return make_array(index.shape, [&](const Index& i) {
           return x[0].at({static_cast<std::int64_t>(index.at(i)), i[1]});
         });
       }},

      // --- layers' formulas ---
      {"dropout", {{N, 3}}, [](Inputs x) { Random random(99); return dropout(x[0], 0.25, random); },
       dropped, {.large = 30000}},
      {"layer_norm", {{N, 5}, {5}, {5}}, [](Inputs x) { return layer_norm(x[0], x[1], x[2]); },
       normalized, {.large = 9000, .float_error = 5e-5}},

      // --- losses ---
      {"cross_entropy", {{N, 5}}, cross({}), cross_loops({}), {.empty = false, .large = 9000}},
      {"cross_entropy, sequence", {{2, N, 5}}, cross({.reduce = Reduce::sum}), cross_loops({.reduce = Reduce::sum})},
      {"cross_entropy, items", {{N, 5}}, cross({.weights = kWeights, .reduce = Reduce::none}),
       cross_loops({.weights = kWeights, .reduce = Reduce::none})},
      {"cross_entropy, weights", {{N, 5}}, cross({.weights = kWeights}), cross_loops({.weights = kWeights}), {.empty = false}},
      {"cross_entropy, smoothing", {{N, 5}}, cross({.smoothing = 0.2}), cross_loops({.smoothing = 0.2}), {.empty = false}},
      {"cross_entropy, both", {{N, 5}}, cross({.weights = kWeights, .smoothing = 0.2}),
       cross_loops({.weights = kWeights, .smoothing = 0.2}), {.empty = false}},
      {"mse", {{N, 2}, {N, 2}}, [](Inputs x) { return mse(x[0], x[1]); },
       loss([](double a, double t) { return (a - t) * (a - t); }, Reduce::mean), {.empty = false}},
      {"l1_loss", {{N, 2}, {N, 2}}, [](Inputs x) { return l1_loss(x[0], x[1], Reduce::sum); },
       loss([](double a, double t) { return std::abs(a - t); }, Reduce::sum)},
      {"huber", {{N, 2}, {N, 2}}, [](Inputs x) { return huber(x[0], x[1], 0.7, Reduce::none); },
       loss(huber_of, Reduce::none)},
      {"bce_with_logits", {{N, 2}, {N, 2}}, [](Inputs x) { return bce_with_logits(x[0], x[1]); },
       loss([](double a, double t) { return -t * std::log(sigmoid_of(a)) - (1 - t) * std::log(1 - sigmoid_of(a)); },
            Reduce::mean), {.low = 0.1, .high = 0.9, .empty = false}},
      {"kl_divergence", {{N, 2}, {N, 2}}, [](Inputs x) { return kl_divergence(x[0], x[1], Reduce::sum); },
       loss([](double a, double t) { return t * (std::log(t) - a); }, Reduce::sum), {.low = 0.1, .high = 0.9}},
  });
  // clang-format on
  return kTable;
}

}  // namespace tapeloop::test
