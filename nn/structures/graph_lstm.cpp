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
  if (!o.adaptive && o.forget_reads != ForgetReads::previous) {
    fail(
        "graph_lstm",
        "forget_reads is ForgetReads::current, but without `adaptive` there is no forget gate of a "
        "neighbour; leave it at its default, or set adaptive = true");
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

PoolVector<Var> GraphLstmCell::hidden_parts(const State& s) const {
  if (!options.adaptive) return {};
  const std::int64_t h = weight_hh.dim(1);
  return {s.h().defined() ? linear(s.h(), slice(weight_nh, 0, h, 2 * h)) : Var()};
}

Recurrence GraphLstmCell::recurrence(const State& before) const {
  const std::int64_t h = weight_hh.dim(1);
  const bool like_lstm = options.output == GraphOutput::o_tanh_m;
  const bool has_own = before.h().defined();
  Recurrence r;
  const auto near = r.value(of::mean_of_edges(of::edge_state(0)));
  if (!options.adaptive) {
    auto z = of::input() + of::product(weight_nh, near);
    if (has_own) z = z + of::product(weight_hh, of::state(0));
    r.next(like_lstm ? r.stage(LstmGates{}, z, of::state(1))
                     : r.stage(LstmGatesTanhLast{}, z, of::state(1)));
    return r;
  }
  const auto of_own = split(weight_hh, std::array{h, h, 2 * h}, 0);  // i, f, g o
  const auto of_near = split(weight_nh, std::array{h, h, 2 * h}, 0);
  of::Source i = of::input(0, h) + of::product(of_near[0], near);
  of::Source f = of::input(h, h);
  of::Source g_o = of::input(2 * h, 2 * h) + of::product(of_near[2], near);
  if (has_own) {
    i = i + of::product(of_own[0], of::state(0));
    f = f + of::product(of_own[1], of::state(0));
    g_o = g_o + of::product(of_own[2], of::state(0));
  }
  const bool current = options.forget_reads == ForgetReads::current;
  const auto u = of::edge_state(2, current ? 0 : 1);
  const auto sent = r.stage(ForgetGate{}, of::input(h, h), u, of::edge_state(1));
  const auto kept = of::mean_of_edges(sent[0]);
  const auto s = like_lstm ? r.stage(GraphLstmGatesLikeLstm{}, i, f, g_o, of::state(1), kept)
                           : r.stage(GraphLstmGates{}, i, f, g_o, of::state(1), kept);
  if (current) {
    r.next({s[0], s[1], of::product(of_near[1], s[0])});
  } else {
    r.next({s[0], s[1], r.stage(Carry{}, of::state(2))[0]});
  }
  return r;
}

}  // namespace tapeloop::nn
