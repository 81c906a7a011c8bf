// SPDX-License-Identifier: MIT
// The QRNN: its windows of inputs, in a sequence and in single steps.
#include "tapeloop/nn/cells/scans/qrnn.h"

#include <fmt/format.h>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/recurrent/own_order.h"

namespace tapeloop::nn {

QrnnCell::QrnnCell(const RecurrentOptions& o, Random& random, const Options& given)
    : own(given), hidden_(o.hidden) {
  detail::check_sizes("qrnn", o);
  if (own.window < 1) fail("qrnn", fmt::format("window is {}, expected 1 or more", own.window));
  const std::int64_t gates = own.pool == QrnnPool::f ? 2 : own.pool == QrnnPool::fo ? 3 : 4;
  weight_ih = detail::drawn({gates * o.hidden, o.input, own.window}, o, random);
  if (o.bias) bias_ih = detail::drawn({gates * o.hidden}, o, random);
}

Var QrnnCell::taps(std::int64_t first, std::int64_t last) const {
  const Var chosen = permute(slice(weight_ih, 2, first, last), {0, 2, 1});
  return reshape(chosen, Shape{weight_ih.dim(0), (last - first) * weight_ih.dim(1)});
}

Var QrnnCell::input(const Var& x) const {
  detail::check_features("qrnn", x, weight_ih.dim(1));
  return concat({linear(x, taps(own.window - 1, own.window), bias_ih), x}, -1);
}
Linear QrnnCell::input_projection() const {
  const std::int64_t inputs = weight_ih.dim(1);
  Linear result;
  result.weight =
      concat({taps(own.window - 1, own.window), detail::identity_like(inputs, weight_ih)}, 0);
  if (bias_ih.defined()) {
    const Var zeros(Tensor::zeros({inputs}, bias_ih.dtype(), bias_ih.device()));
    result.bias = concat({bias_ih, zeros}, 0);
  }
  return result;
}

PoolVector<of::Source> QrnnCell::pooled(Recurrence& r, const of::Source& gates) const {
  const auto c = of::state(1);
  switch (own.pool) {
    case QrnnPool::f: return r.stage(QrnnStep<QrnnPool::f>{}, gates, c);
    case QrnnPool::fo: return r.stage(QrnnStep<QrnnPool::fo>{}, gates, c);
    default: return r.stage(QrnnStep<QrnnPool::ifo>{}, gates, c);
  }
}

Recurrence QrnnCell::recurrence() const {
  const std::int64_t columns = weight_ih.dim(0), inputs = weight_ih.dim(1);
  const auto x = of::input(columns, inputs), past = of::state(2);
  auto gates = of::input(0, columns);
  if (own.window > 1) gates = gates + of::product(taps(0, own.window - 1), past);
  Recurrence r;
  const auto next = pooled(r, gates);
  if (kept() == 1) {
    r.next({next[0], next[1], r.stage(Kept{}, x)[0]});
    return r;
  }
  // The oldest input leaves, x enters behind the others.
  const Var all = detail::identity_like(kept() * inputs, weight_ih);
  const Var none(Tensor::zeros({inputs, kept() * inputs}, all.dtype(), all.device()));
  const Var shift = concat({slice(all, 0, inputs, kept() * inputs), none}, 0);
  const Var enter = slice(all, 1, (kept() - 1) * inputs, kept() * inputs);
  r.next({next[0], next[1], r.value(of::product(shift, past) + of::product(enter, x))});
  return r;
}

Unrolled<QrnnCell::State> QrnnCell::sequence(const Var& xs, const State& given,
                                             const UnrollOptions& options) const {
  const std::int64_t steps = xs.dim(0), batch = xs.dim(1), inputs = weight_ih.dim(1);
  detail::check_features("qrnn", xs, inputs);
  State start = given;
  detail::complete_state(*this, xs, start, options);
  const auto in_order = [&](const Var& x) {
    return options.reverse ? detail::turned(x, options.lengths) : x;
  };
  // The inputs before the sequence, then its own: tap k reads them k steps later than tap 0.
  const Var past = transpose(reshape(start[2], {batch, kept(), inputs}), 0, 1);
  const Var all = concat({past, in_order(xs)}, 0);
  Var z = bias_ih;
  for (std::int64_t k = 0; k < own.window; ++k) {
    const std::int64_t first = kept() - own.window + 1 + k;
    z = linear(slice(all, 0, first, first + steps), taps(k, k + 1), z);
  }
  Recurrence r;
  const auto next = pooled(r, of::input());
  r.next({next[0], next[1]});
  RecurrentResult result =
      recurrent(std::move(r), std::move(z), {start[0], start[1]}, {.lengths = options.lengths});
  const Var last = transpose(detail::last_steps(all, kept(), options.lengths), 0, 1);
  return {in_order(result.hs),
          State(result.last[0], result.last[1], reshape(last, {batch, kept() * inputs}))};
}

}  // namespace tapeloop::nn
