// SPDX-License-Identifier: MIT
// Construction and inputs of MUT1, MUT2 and MUT3.
#include "tapeloop/nn/cells/mut.h"

#include <fmt/format.h>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

MutCell::MutCell(const RecurrentOptions& o, Random& random, const Options& own)
    : variant(own.variant) {
  detail::check_sizes("mut", o);
  if (variant < 1 || variant > 3) {
    fail("mut", fmt::format("variant is {}, expected 1, 2 or 3", variant));
  }
  if (variant != 3 && o.input != o.hidden) {
    fail("mut", fmt::format("input is {}, hidden {}: variant {} adds x to hidden units; give both "
                            "the same size, or take variant 3",
                            o.input, o.hidden, variant));
  }
  const Shape from_x{o.hidden, o.input}, from_h{o.hidden, o.hidden};
  weight_xz = detail::drawn(from_x, o, random);
  if (variant != 2) weight_xr = detail::drawn(from_x, o, random);
  if (variant != 1) weight_xh = detail::drawn(from_x, o, random);
  if (variant != 1) weight_hz = detail::drawn(from_h, o, random);
  weight_hr = detail::drawn(from_h, o, random);
  weight_hh = detail::drawn(from_h, o, random);
  if (o.bias) bias_ih = detail::drawn({3 * o.hidden}, o, random);
}

Var MutCell::bias(std::int64_t block) const {
  const std::int64_t size = weight_hh.dim(0);
  return bias_ih.defined() ? slice(bias_ih, 0, block * size, (block + 1) * size) : Var();
}

// The bias of the third block is added to W_hh (r h), because MUT1 takes the tanh of x without it.
Var MutCell::input(const Var& x) const {
  detail::check_features("mut", x, weight_xz.dim(1));
  const Var r =
      weight_xr.defined() ? linear(x, weight_xr, bias(1)) : (bias_ih.defined() ? x + bias(1) : x);
  return concat({linear(x, weight_xz, bias(0)), r, variant == 1 ? x : linear(x, weight_xh)}, -1);
}

Linear MutCell::input_projection() const {
  const auto or_x = [&](const Var& w) {
    return w.defined() ? w : detail::identity_like(weight_hh.dim(0), weight_hh);
  };
  Linear result;
  result.weight = concat({weight_xz, or_x(weight_xr), or_x(weight_xh)}, 0);
  if (bias_ih.defined()) result.bias = concat({bias(0), bias(1), 0.0 * bias(2)}, 0);
  return result;
}

}  // namespace tapeloop::nn
