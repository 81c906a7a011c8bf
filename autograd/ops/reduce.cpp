// SPDX-License-Identifier: MIT
// Reductions over axes, and the operations composed of them: mean, variance,
// norm, products, running sums.
#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

struct AxisSet {
  Shape kept;              // reduced axes as size 1
  Shape gone;              // reduced axes removed
  std::int64_t count = 1;  // elements that are reduced to one result
};

AxisSet axis_set(const char* name, const Shape& shape, std::span<const int> axes) {
  AxisSet set;
  set.kept = shape;
  std::array<bool, kMaxRank> reduced{};
  for (int axis : axes) {
    int a = shape.axis(axis);
    if (std::exchange(reduced[static_cast<std::size_t>(a)], true)) {
      fail(name, fmt::format("axis {} of {} is given twice; give each axis once", a, shape.str()));
    }
    set.count *= shape[a];
    set.kept[a] = 1;
  }
  std::array<std::int64_t, kMaxRank> left{};
  std::size_t n = 0;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!reduced[static_cast<std::size_t>(i)]) left[n++] = shape[i];
  }
  set.gone = Shape(std::span<const std::int64_t>(left.data(), n));
  return set;
}

struct AllAxes {
  std::array<int, kMaxRank> axes{0, 1, 2, 3, 4, 5};
  std::size_t count;
  explicit AllAxes(const Var& x) : count(static_cast<std::size_t>(x.rank())) {}
  operator std::span<const int>() const { return {axes.data(), count}; }
};

void check_float(const char* name, const Var& x) {
  if (x.dtype() == DType::int64)
    fail(name, "works on float32 and float64, got " + x.value().describe());
}

constexpr const char* kReductionNames[] = {"sum", "product", "max", "min"};

Tensor reduced(Reduction kind, const Var& x, const AxisSet& set, bool keep) {
  const detail::Operation operation(kReductionNames[static_cast<std::size_t>(kind)]);
  Tensor result = Tensor::empty(set.kept, x.dtype(), x.device());
  backend(x.device()).reduce(kind, result, x.value());
  return keep ? result : result.reshape(set.gone);
}

Var extreme(const char* name, Reduction kind, const Var& x, std::span<const int> axes, bool keep) {
  check_float(name, x);
  AxisSet set = axis_set(name, x.shape(), axes);
  if (set.count == 0)
    fail(name,
         fmt::format("x is {}, which has no elements along the given axes; expected at least one",
                     x.shape().str()));
  Var y(reduced(kind, x, set, keep));
  Var chosen = reshape(y, set.kept);
  const Var* input = &x;
  if (Recorder::wanted(name, {&input, 1})) {
    Recorder::record(name, {&input, 1}, {&y, 1},
                     [x = Saved(x, 0), chosen = Saved(chosen, kSavedResult), kept = set.kept](
                         const Var& dy, Grads& grads) {
                       grads.add(0, [&] {
                         Var at = equal(x, chosen);  // 1 where x is the extreme; ties share
                         return pointwise(formula::ChainProduct{}, reshape(dy, kept),
                                          at / sum_to(at, kept));
                       });
                     });
  }
  return y;
}

}  // namespace

Var sum(const Var& x) { return sum(x, AllAxes(x)); }
Var mean(const Var& x) { return mean(x, AllAxes(x)); }

Var sum(const Var& x, std::span<const int> axes, bool keep) {
  check_float("sum", x);
  AxisSet set = axis_set("sum", x.shape(), axes);
  return record("sum", {&x}, reduced(Reduction::sum, x, set, keep),
                [from = x.shape(), kept = set.kept](const Var& dy, Grads& grads) {
                  grads.add(0, [&] { return expand(reshape(dy, kept), from); });
                });
}

Var mean(const Var& x, std::span<const int> axes, bool keep) {
  check_float("mean", x);
  AxisSet set = axis_set("mean", x.shape(), axes);
  if (set.count == 0)
    fail("mean",
         fmt::format("x is {}, which has no elements along the given axes; expected at least one",
                     x.shape().str()));
  return sum(x, axes, keep) / static_cast<double>(set.count);
}

// Subtracting the same number from all elements does not change their differences. Subtracting the
// first one makes equal elements all 0, and keeps the digits in which elements far from 0 differ.
Var detail::from_first(const Var& x, std::span<const int> axes) {
  Tensor first = x.value();
  for (int axis : axes) first = first.slice(axis, 0, std::min<std::int64_t>(1, first.dim(axis)));
  return x - Var(first);
}

Var max(const Var& x, std::span<const int> axes, bool keep) {
  return extreme("max", Reduction::max, x, axes, keep);
}
Var min(const Var& x, std::span<const int> axes, bool keep) {
  return extreme("min", Reduction::min, x, axes, keep);
}

Var var(const Var& x, std::span<const int> axes, int correction, bool keep) {
  check_float("var", x);
  AxisSet set = axis_set("var", x.shape(), axes);
  if (set.count <= correction) {
    fail("var",
         fmt::format("x is {}, which has {} elements along the given axes; expected more than "
                     "the correction, {}",
                     x.shape().str(), set.count, correction));
  }
  const Var d = detail::from_first(x, axes);
  return sum(pointwise(formula::SquaredError{}, d, mean(d, axes, true)), axes, keep) /
         static_cast<double>(set.count - correction);
}

Var norm(const Var& x) {
  Var squares = sum(square(x));
  // sqrt has an infinite slope at 0. There the norm is a constant with gradient 0.
  Var zero(Tensor::zeros({}, x.dtype(), x.device()));
  Var at_zero = equal(squares, zero);
  return select(at_zero, zero, sqrt(squares + at_zero));
}

// A product tree: correct also if factors are zero, and for any order of derivative.
Var prod(const Var& x, int axis, bool keep) {
  check_float("prod", x);
  int a = x.shape().axis(axis);
  if (x.dim(a) == 0) {
    Shape kept = x.shape().with(a, 1);
    return Var(Tensor::full(keep ? kept : x.shape().removed(a), 1.0, x.dtype(), x.device()));
  }
  Var factors = x;
  while (factors.dim(a) > 1) {
    std::int64_t half = factors.dim(a) / 2;
    Var rest = factors.dim(a) % 2 == 1 ? slice(factors, a, 2 * half, 2 * half + 1) : Var();
    Var pairs = slice(factors, a, 0, half) * slice(factors, a, half, 2 * half);
    factors = rest.defined() ? concat({pairs, rest}, a) : pairs;
  }
  return keep ? factors : reshape(factors, x.shape().removed(a));
}

Var cumsum(const Var& x, int axis) {
  check_float("cumsum", x);
  int a = x.shape().axis(axis);
  const detail::Operation operation("cumsum");
  Tensor result = Tensor::empty(x.shape(), x.dtype(), x.device());
  backend(x.device()).cumulative_sum(result, x.value(), a);
  return record("cumsum", {&x}, std::move(result), [a](const Var& dy, Grads& grads) {
    grads.add(0, [&] { return flip(cumsum(flip(dy, a), a), a); });
  });
}

Tensor argmax(const Tensor& x) {
  if (x.rank() == 0 || x.dim(-1) == 0)
    fail("argmax", "needs a last axis with elements, got " + x.describe());
  const detail::Operation operation("argmax");
  Tensor result = Tensor::empty(x.shape().removed(-1), DType::int64, x.device());
  backend(x.device()).argmax(result, x);
  return result;
}

}  // namespace tapeloop
