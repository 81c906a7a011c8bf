// SPDX-License-Identifier: MIT
// The type of a row in the table of operations (op_table.h), and plain loops that many rows share.
// Checks nothing itself.
#pragma once

#include "tests/support.h"

namespace tapeloop::test {

using Inputs = std::span<const Var>;
using Arrays = std::span<const Array>;

// A size that the checks choose: 3, odd sizes, large ones, 0.
inline constexpr std::int64_t N = -1;

struct OpSettings {
  double low = -1.5;  // range of the inputs
  double high = 1.5;
  bool empty = true;          // N = 0 is allowed
  std::int64_t large = 0;     // N for the comparison of one thread with two; 0: no comparison
  double float_error = 2e-5;  // against float64, relative to the largest magnitude
};

struct OpCase {
  std::string name;
  std::vector<std::vector<std::int64_t>> shapes;  // of the inputs
  std::function<Var(Inputs)> op;
  std::function<Array(Arrays)> loops;
  OpSettings settings = {};
};

// --- the loops of many rows ---

using Loops = std::function<Array(Arrays)>;

inline Loops each(double (*f)(double)) {
  return [f](Arrays x) {
    return make_array(x[0].shape, [&](const Index& i) { return f(x[0].at(i)); });
  };
}

inline Shape stretched(Arrays x) {
  Shape shape = x[0].shape;
  for (const Array& array : x) shape = broadcast("test", shape, array.shape);
  return shape;
}
inline Loops each2(double (*f)(double, double)) {
  return [f](Arrays x) {
    return make_array(stretched(x), [&](const Index& i) { return f(x[0].at(i), x[1].at(i)); });
  };
}

inline Index with(Index index, int axis, std::int64_t value) {
  index[static_cast<std::size_t>(axis)] = value;
  return index;
}

// At each place of the other axes, combine(all elements along the given axes).
using Combine = double (*)(const std::vector<double>&);
inline Array reduced(const Array& x, std::vector<int> axes, bool keep, Combine combine) {
  for (int& axis : axes) axis = x.shape.axis(axis);
  Shape kept = x.shape;
  for (int axis : axes) kept[axis] = 1;
  Shape inner(std::vector<std::int64_t>(static_cast<std::size_t>(x.shape.rank()), 1));
  for (int axis : axes) inner[axis] = x.shape[axis];
  Array result = make_array(kept, [&](const Index& place) {
    std::vector<double> elements;
    make_array(inner, [&](const Index& i) {
      Index at = place;
      for (int axis : axes) at[static_cast<std::size_t>(axis)] = i[static_cast<std::size_t>(axis)];
      elements.push_back(x.at(at));
      return 0.0;
    });
    return combine(elements);
  });
  if (keep) return result;
  std::sort(axes.begin(), axes.end());
  for (std::size_t i = axes.size(); i-- > 0;) result.shape = result.shape.removed(axes[i]);
  return result;
}
inline Loops over(const std::vector<int>& axes, bool keep, Combine combine) {
  return [=](Arrays x) { return reduced(x[0], axes, keep, combine); };
}

inline double sum_of(const std::vector<double>& values) {
  double total = 0;
  for (double value : values) total += value;
  return total;
}
inline double mean_of(const std::vector<double>& values) {
  return sum_of(values) / static_cast<double>(values.size());
}
inline double max_of(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}
inline double min_of(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}
inline double squares_about_mean(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double total = 0;
  for (double value : values) total += (value - mean) * (value - mean);
  return total;
}
inline double var_of(const std::vector<double>& values) {
  return squares_about_mean(values) / static_cast<double>(values.size() - 1);
}
inline double biased_var_of(const std::vector<double>& values) {
  return squares_about_mean(values) / static_cast<double>(values.size());
}
inline double logsumexp_of(const std::vector<double>& values) {
  double total = 0;
  for (double value : values) total += std::exp(value);
  return std::log(total);
}
inline double prod_of(const std::vector<double>& values) {
  double product = 1;
  for (double value : values) product *= value;
  return product;
}
inline double norm_of(const std::vector<double>& values) {
  double total = 0;
  for (double value : values) total += value * value;
  return std::sqrt(total);
}

// C = A B with numpy's rules for vectors and batches.
inline Array product(const Array& given_a, const Array& given_b) {
  Array a = given_a;
  Array b = given_b;
  if (a.shape.rank() == 1) a.shape = a.shape.inserted(0, 1);
  if (b.shape.rank() == 1) b.shape = b.shape.inserted(1, 1);
  Shape shape = broadcast("test", a.shape.with(-1, 1).with(-2, 1), b.shape.with(-1, 1).with(-2, 1));
  shape = shape.with(-2, a.shape.dim(-2)).with(-1, b.shape.dim(-1));
  const int row = shape.rank() - 2;
  Array c = make_array(shape, [&](const Index& i) {
    double total = 0;
    for (std::int64_t k = 0; k < a.shape.dim(-1); ++k)
      total += a.at(with(i, row + 1, k)) * b.at(with(i, row, k));
    return total;
  });
  if (given_b.shape.rank() == 1) c.shape = c.shape.removed(-1);
  if (given_a.shape.rank() == 1) c.shape = c.shape.removed(given_b.shape.rank() == 1 ? -1 : -2);
  return c;
}
inline Array products(Arrays x) { return product(x[0], x[1]); }

inline Array transposed(const Array& x) {
  return make_array(x.shape.with(-1, x.shape.dim(-2)).with(-2, x.shape.dim(-1)),
                    [&](const Index& i) {
                      Index swapped = i;
                      std::swap(swapped[i.size() - 1], swapped[i.size() - 2]);
                      return x.at(swapped);
                    });
}

// Index tensors of the rows. With enough elements, each number occurs more than once.
inline Tensor numbers(const Shape& shape, std::int64_t bound) {
  return index_tensor(shape, bound, 7);
}

// -log of the target's probability, by a loop over classes. Options as in losses.h.
struct CrossEntropyLoops {
  std::vector<double> weights = {};
  std::int64_t ignored = -100;
  double smoothing = 0;
  Reduce reduce = Reduce::mean;

  Array operator()(const Array& logits, const Tensor& target) const {
    const std::size_t classes = static_cast<std::size_t>(logits.shape.dim(-1));
    const std::vector<std::int64_t> targets = target.to_vector<std::int64_t>();
    Array items{target.shape(), {}};
    double total_weight = 0;
    for (std::size_t n = 0; n < targets.size(); ++n) {
      double item = 0;
      if (targets[n] != ignored) {
        const double* row = logits.values.data() + n * classes;
        const double total = logsumexp_of({row, row + classes});
        const auto weight = [&](std::size_t c) { return weights.empty() ? 1.0 : weights[c]; };
        const auto goal = static_cast<std::size_t>(targets[n]);
        item = (1 - smoothing) * weight(goal) * (total - row[goal]);
        for (std::size_t c = 0; c < classes; ++c) {
          item += smoothing / static_cast<double>(classes) * weight(c) * (total - row[c]);
        }
        total_weight += weight(goal);
      }
      items.values.push_back(item);
    }
    if (reduce == Reduce::none) return items;
    return {{},
            {reduce == Reduce::sum ? sum_of(items.values) : sum_of(items.values) / total_weight}};
  }
};

}  // namespace tapeloop::test
