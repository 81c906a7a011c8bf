// SPDX-License-Identifier: MIT
// Construction and step of the cell of a Graph LSTM.
#include "tapeloop/nn/structures/graph_lstm.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/gates/lstm.h"
#include "tapeloop/nn/layers/init.h"
#include "tapeloop/nn/structures/edge_gates.h"

namespace tapeloop::nn {

GraphLstmCell::GraphLstmCell(const GraphLstmOptions& o, Random& random) : options(o) {
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  if (o.input < 1 || o.hidden < 1 || o.hidden > kMost) {
    fail("graph_lstm",
         fmt::format("input is {}, hidden {}; expected 1 or more, and hidden of at most 2^30",
                     o.input, o.hidden));
  }
  const double bound = 1.0 / std::sqrt(static_cast<double>(o.hidden));
  weight_ih = uniform_parameter({4 * o.hidden, o.input}, bound, random, o.dtype);
  weight_hh = uniform_parameter({4 * o.hidden, o.hidden}, bound, random, o.dtype);
  weight_nh = uniform_parameter({4 * o.hidden, o.hidden}, bound, random, o.dtype);
  if (o.bias) bias_ih = uniform_parameter({4 * o.hidden}, bound, random, o.dtype);
}

std::array<std::int64_t, 3> GraphLstmCell::state_sizes() const {
  const std::int64_t h = weight_hh.dim(1);
  return {h, h, h};
}

Var GraphLstmCell::input(const Var& x, const Var& h) const {
  const Var zx = linear(x, weight_ih, bias_ih);
  return h.defined() ? linear(h, weight_hh, zx) : zx;
}

PoolVector<Var> GraphLstmCell::hidden_parts(const State& s) const {
  if (!options.adaptive) return {};
  const std::int64_t h = weight_hh.dim(1);
  return {s.h().defined() ? linear(s.h(), slice(weight_nh, 0, h, 2 * h)) : Var()};
}

Recurrence GraphLstmCell::recurrence() const {
  const std::int64_t h = weight_hh.dim(1);
  const bool like_lstm = options.output == GraphOutput::o_tanh_m;
  Recurrence r;
  const auto near = r.value(of::mean_of_edges(of::edge_state(0)));
  if (!options.adaptive) {
    const auto z = of::input() + of::product(weight_nh, near);
    r.next(like_lstm ? r.stage(LstmGates{}, z, of::state(1))
                     : r.stage(LstmGatesTanhLast{}, z, of::state(1)));
    return r;
  }
  const auto weights = split(weight_nh, std::array{h, h, 2 * h}, 0);
  const auto i = of::input(0, h) + of::product(weights[0], near);
  const auto f = of::input(h, h);
  const auto g_o = of::input(2 * h, 2 * h) + of::product(weights[2], near);
  const bool current = options.forget_reads == ForgetReads::current;
  const auto u = of::edge_state(2, current ? 0 : 1);
  const auto sent = r.stage(ForgetGate{}, f, u, of::edge_state(1));
  const auto kept = of::mean_of_edges(sent[0]);
  const auto s = like_lstm ? r.stage(GraphLstmGatesLikeLstm{}, i, f, g_o, of::state(1), kept)
                           : r.stage(GraphLstmGates{}, i, f, g_o, of::state(1), kept);
  if (current) {
    r.next({s[0], s[1], of::product(weights[1], s[0])});
  } else {
    r.next({s[0], s[1], r.stage(Carry{}, of::state(2))[0]});
  }
  return r;
}

}  // namespace tapeloop::nn
