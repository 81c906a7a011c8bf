// SPDX-License-Identifier: MIT
// Construction and steps of the cells of Tree-LSTMs.
#include "tapeloop/nn/structures/tree_lstm.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/layers/init.h"
#include "tapeloop/nn/structures/edge_gates.h"

namespace tapeloop::nn {

namespace {

// `count` equal parts of x along an axis.
PoolVector<Var> in_parts(const Var& x, int count, int axis) { return chunk(x, count, axis); }

void check_sizes(const char* cell, const TreeLstmOptions& o) {
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  if (o.input < 1 || o.hidden < 1 || o.hidden > kMost) {
    fail(cell, fmt::format("input is {}, hidden {}; expected 1 or more, and hidden of at most 2^30",
                           o.input, o.hidden));
  }
}

}  // namespace

ChildSumLstmCell::ChildSumLstmCell(const TreeLstmOptions& o, Random& random) {
  check_sizes("child_sum_lstm", o);
  const double bound = 1.0 / std::sqrt(static_cast<double>(o.hidden));
  weight_ih = uniform_parameter({4 * o.hidden, o.input}, bound, random, o.dtype);
  weight_hh = uniform_parameter({4 * o.hidden, o.hidden}, bound, random, o.dtype);
  if (o.bias) bias_ih = uniform_parameter({4 * o.hidden}, bound, random, o.dtype);
}

std::array<std::int64_t, 3> ChildSumLstmCell::state_sizes() const {
  const std::int64_t h = weight_hh.dim(1);
  return {h, h, h};
}

Recurrence ChildSumLstmCell::recurrence() const {
  const std::int64_t h = weight_hh.dim(1);
  const auto weights = split(weight_hh, std::array{h, h, 2 * h}, 0);  // i, f, g o
  Recurrence r;
  const auto sum = r.value(of::sum_of_edges(of::edge_state(0)));
  const auto i = of::input(0, h) + of::product(weights[0], sum);
  const auto g_o = of::input(2 * h, 2 * h) + of::product(weights[2], sum);
  const auto sent = r.stage(ForgetGate{}, of::input(h, h), of::edge_state(2), of::edge_state(1));
  const auto s = r.stage(TreeLstmGates{}, i, g_o, of::sum_of_edges(sent[0]));
  r.next({s[0], s[1], of::product(weights[1], s[0])});
  return r;
}

NaryLstmCell::NaryLstmCell(const TreeLstmOptions& o, Random& random) {
  check_sizes("nary_lstm", o);
  if (o.arity < 1 || o.arity > 16) {
    fail("nary_lstm", fmt::format("arity is {}, expected 1 to 16 children; for any number of "
                                  "children use ChildSumLstmCell",
                                  o.arity));
  }
  const double bound = 1.0 / std::sqrt(static_cast<double>(o.hidden));
  weight_ih = uniform_parameter({4 * o.hidden, o.input}, bound, random, o.dtype);
  weight_hh =
      uniform_parameter({(3 + o.arity) * o.hidden, o.arity * o.hidden}, bound, random, o.dtype);
  if (o.bias) bias_ih = uniform_parameter({4 * o.hidden}, bound, random, o.dtype);
}

std::array<std::int64_t, 2> NaryLstmCell::state_sizes() const {
  const std::int64_t h = weight_ih.dim(0) / 4;
  return {h, h};
}

int NaryLstmCell::arity() const {
  return static_cast<int>(weight_hh.dim(1) / (weight_ih.dim(0) / 4));
}

// The columns i f_1 .. f_K g o: the product with a weight that repeats the rows f K times.
Var NaryLstmCell::input(const Var& x) const {
  const auto repeated = [&](const Var& parameter) {
    const PoolVector<Var> rows = in_parts(parameter, 4, 0);
    PoolVector<Var> all = {rows[0]};
    for (int k = 0; k < arity(); ++k) all.push_back(rows[1]);
    all.push_back(rows[2]);
    all.push_back(rows[3]);
    return concat(all, 0);
  };
  return linear(x, repeated(weight_ih), bias_ih.defined() ? repeated(bias_ih) : Var());
}

Recurrence NaryLstmCell::recurrence() const {
  const std::int64_t h = weight_ih.dim(0) / 4;
  const int K = arity();
  const PoolVector<Var> weights = in_parts(weight_hh, K, 1);
  of::Source sum = of::input();
  for (int k = 0; k < K; ++k) {
    sum = sum + of::product(weights[static_cast<std::size_t>(k)], of::state(0, k));
  }
  Recurrence r;
  const auto z = r.value(sum);
  of::Source kept;
  for (int k = 0; k < K; ++k) {
    const auto f = z.columns((1 + k) * h, h);
    kept = k == 0 ? r.stage(Forget{}, f, of::state(1, k))[0]
                  : r.stage(ForgetAndAdd{}, f, of::state(1, k), kept)[0];
  }
  r.next(r.stage(TreeLstmGates{}, z.columns(0, h), z.columns((1 + K) * h, 2 * h), kept));
  return r;
}

}  // namespace tapeloop::nn
