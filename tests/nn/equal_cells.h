// SPDX-License-Identifier: MIT
// Cells with random weights, and blocks of their rows, for tests of equalities between cells.
#pragma once

#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
using test::random_tensor;

inline constexpr std::int64_t kInput = 3, kHidden = 4;
inline constexpr double kSame = 1e-13;

inline RecurrentOptions sizes(std::int64_t input = kInput) {
  return {.input = input, .hidden = kHidden, .dtype = DType::float64};
}

// A cell with random weights that are large enough to matter.
template <class C>
C made(std::uint64_t seed, const OptionsOf<C>& own = {}, std::int64_t input = kInput) {
  Random random(seed);
  const C cell = make_cell<C>(sizes(input), random, own);
  for (const NamedVar& p : parameters(cell)) init::uniform(p.var, -1, 1, random);
  return cell;
}

inline void set(const Var& to, const Var& from) { to.value().copy_from(from.value()); }
inline void zero(const Var& x) { init::constant(x, 0); }
inline Var rows(const Var& x, std::int64_t first, std::int64_t count = 1) {
  return slice(x, 0, first * kHidden, (first + count) * kHidden);
}
// All weights of `to` from rows of `from`, block by block.
inline void set_blocks(const GateWeights& to, const GateWeights& from,
                       std::initializer_list<std::int64_t> blocks) {
  const auto chosen = [&](const Var& x) {
    PoolVector<Var> list;
    for (const std::int64_t block : blocks) list.push_back(rows(x, block));
    return concat(list, 0);
  };
  set(to.weight_ih, chosen(from.weight_ih));
  set(to.weight_hh, chosen(from.weight_hh));
  set(to.bias_ih, chosen(from.bias_ih));
  if (to.bias_hh.defined()) set(to.bias_hh, chosen(from.bias_hh));
}
// Makes a gate of an LSTM 1, whatever it reads.
inline void open(const GateWeights& w, std::int64_t gate) {
  for (const Var& x : {w.weight_ih, w.weight_hh, w.bias_hh}) rows(x, gate).value().fill(0);
  rows(w.bias_ih, gate).value().fill(45);
}

template <class A, class B>
double distance(const A& a, const B& b, const Var& xs) {
  return test::distance(unroll(a, xs).ys.value(), unroll(b, xs).ys.value());
}
inline const Var& inputs(std::int64_t size = kInput) {
  static const Var three(random_tensor({7, 3, 3}, 1)), four(random_tensor({7, 3, 4}, 2));
  return size == 3 ? three : four;
}
}  // namespace tapeloop::nn
