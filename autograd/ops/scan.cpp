// SPDX-License-Identifier: MIT
// linear_scan(). The gradient of a scan is a scan in the other direction, whose step multiplies by
// the a of the step before it: g is the gradient by h,
//   h_t = a_t h_(t-1) + b_t      g_t = dy_t + a_(t+1) g_(t+1),   db = g,   da_t = g_t h_(t-1)
// The gradient of such a "delayed" scan is a plain one again, so all derivatives are scans. Complex
// numbers: conj(a) and conj(h) take the places of a and h. A scan of logarithms is, for small
// changes, the real scan whose coefficients are the shares of both terms in their sum.
#include "tapeloop/autograd/ops/scan.h"

#include <fmt/format.h>

#include <limits>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/formula/scan.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/schedule/lengths.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

using namespace formula;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Form {  // see ScanRun
  ScanKind kind = ScanKind::real;
  bool reverse = false, conjugate = false, chain = false, delayed = false;
  double none() const { return kind == ScanKind::log ? -kInfinity : 0; }  // stands for 0
  Form gradient() const {
    Form result = *this;
    if (kind == ScanKind::log) result.kind = ScanKind::real;
    result.reverse = !reverse;
    result.conjugate = kind == ScanKind::complex && !conjugate;
    result.chain = true;
    result.delayed = !delayed;
    return result;
  }
};

Var scan(const Var& a, const Var& b, const Var& h0, const Form& form);

// Products of two tensors of the scan's numbers; with conjugate(x) for x if they are complex.
Var product(const Var& x, const Var& y, const Form& form, const Shape& shape) {
  if (form.kind != ScanKind::complex) return sum_to(pointwise(ChainProduct{}, x, y), shape);
  const auto [re, im] = pointwise(ConjugateProduct{}, columns<2>(x), columns<2>(y));
  const Shape half = shape.with(-1, shape.dim(-1) / 2);
  return concat({sum_to(re, half), sum_to(im, half)}, -1);
}

// The rows of the step that ran before each step: `first` before the first one.
Var before(const Var& x, const Var& first, bool reverse) {
  const std::int64_t steps = x.dim(0);
  const Var edge = insert_axis(first, 0);
  return reverse ? concat({slice(x, 0, 1, steps), edge}, 0)
                 : concat({edge, slice(x, 0, 0, steps - 1)}, 0);
}

Var filled(const Var& like, double value) {
  const Shape shape{like.dim(1), like.dim(2)};
  return Var(Tensor::full({}, value, like.dtype(), like.device()).expand(shape));
}

// The value of h before step t, in the memory that scan() made: `states` has a row more than h.
Tensor states_before(const Tensor& states, bool reverse) {
  const std::int64_t rows = states.dim(0);
  return reverse ? states.slice(0, 1, rows) : states.slice(0, 0, rows - 1);
}

struct Gradient {
  Form form;
  Saved<Var> a, b, h0, h;
  Tensor states;  // [T + 1, N, H] with the state before the first step; h is its other rows
  Shape a_shape, b_shape;

  void operator()(const Var& dy, Grads& grads) const {
    const std::int64_t steps = h.shape().dim(0);
    if (steps == 0) return nothing(dy, grads);
    // While recording, the states have a history; else they are a view.
    const auto earlier = [&] {
      const Var& result = h.get();
      if (!grads.recording()) return Var(states_before(states, form.reverse));
      return before(result, h0.defined() ? h0.get() : filled(result, form.none()), form.reverse);
    };
    Var factor = a;
    Var share;  // of logarithms: of b in the sum
    if (form.kind == ScanKind::log) {
      factor = pointwise(LogShare{}, a.get() + earlier(), h.get());
      share = pointwise(LogShare{}, b.get(), h.get());
    }
    const Form other = form.gradient();
    const Var g = scan(factor, dy, Var(), other);
    const std::int64_t first = form.reverse ? steps - 1 : 0;
    if (form.kind == ScanKind::log) {
      grads.add(0, [&] { return sum_to(pointwise(ChainProduct{}, g, factor), a_shape); });
      grads.add(1, [&] { return pointwise(ChainProduct{}, g, share); });
    } else if (form.delayed) {
      grads.add(0, [&] {
        const Var later = before(g, filled(g, 0), !form.reverse);
        return form.conjugate ? product(later, h.get(), other, a_shape)
                              : product(h.get(), later, other, a_shape);
      });
      grads.add(1, g);
    } else {
      grads.add(0, [&] {
        const Var past = earlier();
        // a or conj(a) multiplies the past: its gradient is conj(past) g, and a's its conjugate.
        return form.conjugate ? product(g, past, other, a_shape) : product(past, g, other, a_shape);
      });
      grads.add(1, g);
    }
    if (!h0.defined()) return;
    grads.add(2, [&] {
      const Var whole = expand(factor, h.shape());
      const Var at_first = select_index(whole, 0, first), g_first = select_index(g, 0, first);
      const Shape shape{h.shape().dim(1), h.shape().dim(2)};
      if (form.kind != ScanKind::complex || !form.conjugate) {
        return product(at_first, g_first, other, shape);
      }
      return complex_product(at_first, g_first);
    });
  }

 private:
  static Var complex_product(const Var& x, const Var& y) {
    const auto parts = chunk(x, 2, -1);
    return product(concat({parts[0], -parts[1]}, -1), y, {.kind = ScanKind::complex}, x.shape());
  }
  void nothing(const Var& dy, Grads& grads) const {
    const Var zero = sum(dy);
    grads.add(0, [&] { return expand(zero, a_shape); });
    grads.add(1, [&] { return expand(zero, b_shape); });
    if (h0.defined()) grads.add(2, [&] { return expand(zero, h0.shape()); });
  }
};

// As in linear_scan(); the shapes have been checked.
Var scan(const Var& a, const Var& b, const Var& h0, const Form& form) {
  const detail::Operation operation("linear_scan");
  const Shape& shape = b.shape();
  const std::int64_t steps = shape.dim(0);
  const bool keeps = !form.delayed;  // the state before the first step, too
  const Tensor states =
      Tensor::empty(shape.with(0, steps + (keeps ? 1 : 0)), b.dtype(), b.device());
  const std::int64_t edge = form.reverse ? steps : 0;
  const std::int64_t at = keeps && !form.reverse ? 1 : 0;
  Tensor h = states.slice(0, at, at + steps);
  ScanRun run{form.kind, form.reverse, form.conjugate, form.chain, form.delayed, h, {}, {}, {}};
  const auto whole_rows = [](const Tensor& x) {
    return x.stride(2) == 1 || x.dim(2) == 1 ? x : x.contiguous();
  };
  run.a = whole_rows(a.value().expand(shape));
  run.b = whole_rows(b.value());
  if (keeps) {
    const Tensor first = states.select(0, edge);
    if (h0.defined()) {
      first.copy_from(h0.value());
      run.start = first;
    } else {
      first.fill(form.none());
    }
  }
  backend(b.device()).scan(run);
  const Var* const list[] = {&a, &b, &h0};
  const std::span<const Var* const> inputs(list, h0.defined() ? 3 : 2);
  Var result(std::move(h));
  if (!Recorder::wanted("linear_scan", inputs)) return result;
  Gradient gradient;
  gradient.form = form;
  gradient.a = Saved(a, 0);
  if (form.kind == ScanKind::log) gradient.b = Saved(b, 1);
  if (h0.defined()) gradient.h0 = Saved(h0, 2);
  gradient.a_shape = a.shape();
  gradient.b_shape = b.shape();
  gradient.states = states;
  gradient.h = Saved(result, kSavedResult);
  Recorder::record("linear_scan", inputs, {&result, 1}, std::move(gradient));
  return result;
}

void check(const Var& a, const Var& b, const Var& h0, const ScanOptions& options) {
  const auto text = [](const Var& x) { return x.defined() ? x.value().describe() : "undefined"; };
  const auto refuse = [&](const std::string& expected) {
    fail("linear_scan", fmt::format("a is {}, b is {}, h0 is {}: expected {}", text(a), text(b),
                                    text(h0), expected));
  };
  if (!a.defined() || !b.defined() || b.rank() != 3 || (h0.defined() && h0.rank() != 2)) {
    refuse("b [T, N, H], and an a that broadcasts to it, such as [T, N, H] or [H]");
  }
  const auto fits = [&](const Var& x) {
    return x.dtype() == b.dtype() && x.device() == b.device();
  };
  if (b.dtype() == DType::int64 || !fits(a) || (h0.defined() && !fits(h0))) {
    refuse(
        "one floating-point type on one device; convert by to(x, dtype) or copy by to(x, device)");
  }
  bool broadcasts = a.rank() <= 3;
  for (int axis = 1; broadcasts && axis <= a.rank(); ++axis) {
    broadcasts = a.dim(-axis) == 1 || a.dim(-axis) == b.dim(-axis);
  }
  if (!broadcasts) refuse("an a that broadcasts to b, such as [T, N, H] or [H]");
  if (h0.defined() && h0.shape() != Shape{b.dim(1), b.dim(2)}) refuse("h0 [N, H]");
  if (options.kind == ScanKind::complex && (b.dim(2) % 2 != 0 || a.dim(-1) != b.dim(2))) {
    refuse("complex numbers: H/2 columns of real parts, then H/2 of imaginary parts, in a too");
  }
  detail::check_lengths("linear_scan", options.lengths, "b", b.shape());
}

}  // namespace

Var linear_scan(const Var& a, const Var& b, const Var& h0, const ScanOptions& options) {
  check(a, b, h0, options);
  const Form form{.kind = options.kind, .reverse = options.reverse};
  if (options.lengths.empty()) return scan(a, b, h0, form);
  const Var mask(
      detail::mask_within(options.lengths, b.dim(0), b.dtype(), b.device()).insert_axis(2));
  const auto number = [&](double x) { return Var(Tensor::full({}, x, b.dtype(), b.device())); };
  Var one = number(form.kind == ScanKind::log ? 0 : 1);
  if (form.kind == ScanKind::complex) {
    const Tensor re_im = Tensor::zeros({b.dim(2)}, b.dtype(), b.device());
    re_im.slice(0, 0, b.dim(2) / 2).fill(1);
    one = Var(re_im);
  }
  return scan(select(mask, a, one), select(mask, b, number(form.none())), h0, form);
}

}  // namespace tapeloop
