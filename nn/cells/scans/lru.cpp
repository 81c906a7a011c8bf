// SPDX-License-Identifier: MIT
// The linear recurrent unit: its initial values, and its sequence as a scan.
#include "tapeloop/nn/cells/scans/lru.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/ops/scan.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

LruCell::LruCell(const RecurrentOptions& o, Random& random, const Options& own) {
  detail::check_sizes("lru", o);
  detail::check_equal_sizes("lru", o);
  if (own.state < 0 || !(own.r_min >= 0 && own.r_min < own.r_max && own.r_max < 1) ||
      !(own.max_phase > 0)) {
    fail("lru", fmt::format("state is {}, r_min {}, r_max {}, max_phase {}; expected state >= 0, 0 "
                            "<= r_min < r_max < 1, max_phase > 0",
                            own.state, own.r_min, own.r_max, own.max_phase));
  }
  const std::int64_t units = own.state == 0 ? o.hidden : own.state;
  const auto uniform = [&](double low, double high) {
    return Var(random_uniform({units}, low, high, random, DType::float64));
  };
  const auto taken = [&](const Var& x) { return parameter(to(x, o.dtype).value()); };
  // |lambda|^2 is uniform between the squares: lambda is uniform on the ring.
  const Var square_of_radius = uniform(own.r_min * own.r_min, own.r_max * own.r_max);
  nu_log = taken(log(-0.5 * log(square_of_radius)));
  theta_log = taken(log(uniform(1e-3 * own.max_phase, own.max_phase)));
  gamma_log = taken(0.5 * log(1.0 - square_of_radius));
  b_re = detail::drawn({units, o.input}, o, random);
  b_im = detail::drawn({units, o.input}, o, random);
  c_re = detail::drawn({o.hidden, units}, o, random);
  c_im = detail::drawn({o.hidden, units}, o, random);
  d = detail::drawn({o.hidden}, o, random);
}

Var LruCell::lambda() const {
  const Var radius = exp(-exp(nu_log)), phase = exp(theta_log);
  return concat({radius * cos(phase), radius * sin(phase)}, 0);
}
Var LruCell::b() const {
  return concat({b_re, b_im}, 0) * insert_axis(exp(concat({gamma_log, gamma_log}, 0)), 1);
}

Var LruCell::input(const Var& x) const {
  detail::check_features("lru", x, b_re.dim(1));
  return concat({linear(x, b()), x * d}, -1);
}
Linear LruCell::input_projection() const {
  Linear result;
  result.weight = concat({b(), detail::identity_like(d.dim(0), d) * insert_axis(d, 1)}, 0);
  return result;
}

Recurrence LruCell::recurrence() const {
  const std::int64_t units = nu_log.dim(0);
  Recurrence r;
  const auto s = r.stage(ComplexStep{}, of::input(0, 2 * units), of::unit(lambda()), of::state(1),
                         of::state(2));
  const auto y =
      r.value(of::input(2 * units, d.dim(0)) + of::product(c_re, s[0]) + of::product(-c_im, s[1]));
  r.next({y, s[0], s[1]});
  return r;
}

Unrolled<LruCell::State> LruCell::sequence(const Var& xs, const State& given,
                                           const UnrollOptions& options) const {
  detail::check_features("lru", xs, b_re.dim(1));
  State start = given;
  detail::complete_state(*this, xs, start, options);
  const Var s = linear_scan(
      lambda(), linear(xs, b()), concat({start[1], start[2]}, -1),
      {.kind = ScanKind::complex, .reverse = options.reverse, .lengths = options.lengths});
  const Var ys = linear(s, concat({c_re, -c_im}, 1), xs * d);
  const auto last = chunk(select_index(s, 0, options.reverse ? 0 : s.dim(0) - 1), 2, -1);
  return {ys, State(Var(), last[0], last[1])};
}

}  // namespace tapeloop::nn
