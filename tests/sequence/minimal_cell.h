// SPDX-License-Identifier: MIT
// A user's own cell around a formula h' = f(f, n, h), as nn::Recurrent takes it. Knows no device.
#pragma once

#include "tapeloop/nn/nn.h"
#include "tests/device/device_cell.h"

namespace tapeloop::test {

template <class Gate>
struct CellOf {
  using State = nn::State<1>;
  nn::Linear from_x, from_h;
  CellOf(const nn::RecurrentOptions& o, Random& random)
      : from_x(o.input, 2 * o.hidden, random, true, o.dtype),
        from_h(o.hidden, 2 * o.hidden, random, false, o.dtype) {}
  std::array<std::int64_t, 1> state_sizes() const { return {from_h.weight.dim(1)}; }
  Var input(const Var& x) const { return from_x(x); }
  Recurrence recurrence() const {
    return {Gate{}, of::input() + of::product(from_h.weight), of::state(0)};
  }
  void visit(nn::Visitor& v) const { v("from_x", from_x), v("from_h", from_h); }
};
using MinimalCell = CellOf<MinimalGate>;

}  // namespace tapeloop::test
