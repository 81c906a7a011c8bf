// SPDX-License-Identifier: MIT
// Options of small trees and graphs, and a Graph LSTM by operations, for tests of structures.
#pragma once

#include <algorithm>
#include <random>

#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::test {

inline constexpr std::int64_t kI = 3, kH = 4;
inline constexpr DType kExact = DType::float64;
using GraphState = nn::GraphLstmCell::State;

inline Var values(const Shape& shape, std::uint64_t seed) {
  return Var(random_tensor(shape, seed, kExact));
}

inline nn::TreeLstmOptions tree_options(int arity = 2) {
  return {.input = kI, .hidden = kH, .arity = arity, .dtype = kExact};
}
inline nn::GraphLstmOptions graph_options() { return {.input = kI, .hidden = kH, .dtype = kExact}; }

inline Index random_parents(std::int64_t V, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Index parents;
  for (std::int64_t v = 0; v + 1 < V; ++v) {
    const auto above = static_cast<std::uint64_t>(V - 1 - v);
    parents.push_back(random() % 5 == 0 ? -1 : v + 1 + static_cast<std::int64_t>(random() % above));
  }
  parents.push_back(-1);
  return parents;
}

// A random graph in which node 2 has no neighbours, and its order.
struct RandomGraph {
  Index begins = {0}, neighbours, order;
  RandomGraph(std::int64_t V, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (std::int64_t v = 0; v < V; ++v) {
      for (std::int64_t w = 0; w < V; ++w) {
        if (w != v && v != 2 && random() % 3 == 0) neighbours.push_back(w);
      }
      begins.push_back(static_cast<std::int64_t>(neighbours.size()));
      order.push_back(v);
    }
    std::shuffle(order.begin(), order.end(), random);
  }
  Schedule schedule() const { return Schedule::graph({begins, neighbours}, order); }
};

// A Graph LSTM by operations, as its formulas are printed.
struct GraphByStep {
  using State = nn::State<2>;
  nn::GraphLstmCell own;
  GraphByStep(const nn::GraphLstmOptions& o, Random& random) : own(o, random) {}
  std::array<std::int64_t, 2> state_sizes() const { return {kH, kH}; }
  State step(const Var& x, const nn::Predecessors<State>& before,
             const nn::Edges<State>& near) const {
    const nn::GraphLstmOptions& o = own.options;
    const PoolVector<Var> n = chunk(own.weight_nh, 4, 0);
    const Var base = linear(before[0].h(), own.weight_hh, linear(x, own.weight_ih, own.bias_ih));
    const PoolVector<Var> z = chunk(base, 4, -1);
    const PoolVector<Var> zx = chunk(linear(x, own.weight_ih, own.bias_ih), 4, -1);
    const Var h = near.mean(near[0].h());
    const Var i = sigmoid(z[0] + linear(h, n[0])), g = tanh(z[2] + linear(h, n[2]));
    const Var out = sigmoid(z[3] + linear(h, n[3]));
    Var m = i * g;
    if (o.adaptive) {
      const Var& read = near[o.forget_reads == nn::ForgetReads::current ? 0 : 1].h();
      const Var gates = sigmoid(near.spread(zx[1]) + linear(read, n[1]));
      m = m + near.mean(gates * near[0][1]) + sigmoid(z[1]) * before[0][1];
    } else {
      m = m + sigmoid(z[1] + linear(h, n[1])) * before[0][1];
    }
    return State(o.output == nn::GraphOutput::tanh_om ? tanh(out * m) : out * tanh(m), m);
  }
  void visit(nn::Visitor& v) const { own.visit(v); }
};

}  // namespace tapeloop::test
