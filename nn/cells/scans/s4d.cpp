// SPDX-License-Identifier: MIT
// S4D: its discretisation, and its sequence as a scan.
#include "tapeloop/nn/cells/scans/s4d.h"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "tapeloop/autograd/ops/scan.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

S4dCell::S4dCell(const RecurrentOptions& o, Random& random, const Options& own) {
  detail::check_sizes("s4d", o);
  detail::check_equal_sizes("s4d", o);
  if (own.state < 1 || !(own.dt_min > 0 && own.dt_min < own.dt_max)) {
    fail("s4d", fmt::format("state is {}, dt_min {}, dt_max {}; expected state >= 1, 0 < dt_min < "
                            "dt_max",
                            own.state, own.dt_min, own.dt_max));
  }
  const Shape shape{o.hidden, own.state};
  a_log_re = parameter(Tensor::full(shape, std::log(0.5), o.dtype));
  const Tensor turns = Tensor::empty(shape, o.dtype);
  for (std::int64_t n = 0; n < own.state; ++n) {
    turns.select(1, n).fill(std::numbers::pi * static_cast<double>(n));
  }
  a_im = parameter(turns);
  log_dt = parameter(
      random_uniform({o.hidden}, std::log(own.dt_min), std::log(own.dt_max), random, o.dtype));
  c_re = detail::drawn(shape, o, random);
  c_im = detail::drawn(shape, o, random);
  d = detail::drawn({o.hidden}, o, random);
}

// e^z - 1 without cancellation for small z = x + i y:
//   e^x - 1 = 2 t/(1 - t) with t = tanh(x/2), and cos y - 1 = -2 sin^2(y/2)
S4dCell::Discrete S4dCell::discrete() const {
  const Var dt = insert_axis(exp(log_dt), 1);
  const Var re = -exp(a_log_re), x = dt * re, y = dt * a_im;
  const Var t = tanh(0.5 * x), growth = 2.0 * t / (1.0 - t);
  const Var less_re = growth * cos(y) - 2.0 * square(sin(0.5 * y));
  const Var less_im = (growth + 1.0) * sin(y);
  const Var size = square(re) + square(a_im);
  const Var b_re = (less_re * re + less_im * a_im) / size;
  const Var b_im = (less_im * re - less_re * a_im) / size;
  return {transpose(stack({less_re + 1.0, less_im})), transpose(stack({b_re, b_im}))};
}
Var S4dCell::output_weights() const { return transpose(2.0 * stack({c_re, -c_im})); }

// Row h of [H, S*H] holds column h of x [S, H] in the columns of channel h, and zeros.
static Var by_channel(const Var& x) {
  const std::int64_t s = x.dim(0), h = x.dim(1);
  return reshape(insert_axis(detail::identity_like(h, x), 1) * x, Shape{h, s * h});
}

Var S4dCell::input(const Var& x) const {
  detail::check_features("s4d", x, d.dim(0));
  const Var b = discrete().b;
  const Shape wide = x.shape().with(-1, a_im.numel());
  const Var each = insert_axis(x, x.rank() - 1);
  const auto part = [&](std::int64_t k) { return reshape(each * select_index(b, 0, k), wide); };
  return concat({part(0), part(1), x * d}, -1);
}
Linear S4dCell::input_projection() const {
  const Var b = discrete().b;
  const auto part = [&](std::int64_t k) { return transpose(by_channel(select_index(b, 0, k))); };
  Linear result;
  result.weight =
      concat({part(0), part(1), detail::identity_like(d.dim(0), d) * insert_axis(d, 1)}, 0);
  return result;
}

Recurrence S4dCell::recurrence() const {
  const std::int64_t units = a_im.numel();
  const Var out = output_weights();
  Recurrence r;
  const auto s =
      r.stage(ComplexStep{}, of::input(0, 2 * units),
              of::unit(reshape(discrete().a, Shape{2 * units})), of::state(1), of::state(2));
  const auto y = r.value(of::input(2 * units, d.dim(0)) +
                         of::product(by_channel(select_index(out, 0, 0)), s[0]) +
                         of::product(by_channel(select_index(out, 0, 1)), s[1]));
  r.next({y, s[0], s[1]});
  return r;
}

Unrolled<S4dCell::State> S4dCell::sequence(const Var& xs, const State& given,
                                           const UnrollOptions& options) const {
  detail::check_features("s4d", xs, d.dim(0));
  State start = given;
  detail::complete_state(*this, xs, start, options);
  const std::int64_t steps = xs.dim(0), batch = xs.dim(1), h = d.dim(0), units = a_im.numel();
  const auto [a, b] = discrete();
  const Var u = reshape(xs, Shape{steps, batch, 1, 1, h}) * b;  // [T, N, 2, S, H]
  const Var s = linear_scan(
      reshape(a, Shape{2 * units}), reshape(u, Shape{steps, batch, 2 * units}),
      concat({start[1], start[2]}, -1),
      {.kind = ScanKind::complex, .reverse = options.reverse, .lengths = options.lengths});
  const Var parts = reshape(s, Shape{steps, batch, 2, units / h, h}) * output_weights();
  const auto last = chunk(select_index(s, 0, options.reverse ? 0 : steps - 1), 2, -1);
  return {sum(parts, {2, 3}) + xs * d, State(Var(), last[0], last[1])};
}

}  // namespace tapeloop::nn
