// SPDX-License-Identifier: MIT
// Formulas of steps with parameters of their own, several predecessors, several stages.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::test {

// An LSTM whose gates look at c: i and f at the old one, o at the new one.
struct Peepholes {
  static constexpr const char* name = "peepholes";
  static constexpr const char* arguments = "i f g o c pi pf po";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto c, auto pi, auto pf, auto po) const {
    auto c_next = sigmoid(f + pf * c) * c + sigmoid(i + pi * c) * tanh(g);
    return outputs(sigmoid(o + po * c_next) * tanh(c_next), c_next);
  }
};

struct Diagonal {  // no product: every unit sees itself alone
  static constexpr const char* name = "diagonal";
  TL_HD auto operator()(auto z, auto u, auto h) const { return tanh(z + u * h); }
};

// The new c of an LSTM whose h comes from a later stage; the output gate passes through.
struct CellAndOutput {
  static constexpr const char* name = "cell_and_output";
  TL_HD auto operator()(auto i, auto f, auto g, auto c) const {
    return sigmoid(f) * c + sigmoid(i) * tanh(g);
  }
};
struct Output {
  static constexpr const char* name = "output";
  TL_HD auto operator()(auto o, auto c) const { return sigmoid(o) * tanh(c); }
};

struct Kept {  // a mask says which units keep their state
  static constexpr const char* name = "kept";
  TL_HD auto operator()(auto z, auto keep, auto h) const {
    return keep * h + (1.0 - keep) * tanh(z);
  }
};

// Two predecessors, as in a two-dimensional LSTM.
struct TwoPaths {
  static constexpr const char* name = "two_paths";
  static constexpr const char* arguments = "i f1 f2 g o c1 c2";
  TL_HD auto operator()(auto i, auto f1, auto f2, auto g, auto o, auto c1, auto c2) const {
    auto c = sigmoid(f1) * c1 + sigmoid(f2) * c2 + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o) * tanh(c), c);
  }
};

// Edges: what reaches a node from one of its neighbours, and what the node makes of their sum.
struct ForgetEdge {
  static constexpr const char* name = "forget_edge";
  static constexpr const char* arguments = "f c";
  TL_HD auto operator()(auto f, auto c) const { return sigmoid(f) * c; }
};
struct ForgetNeighbour {
  static constexpr const char* name = "forget_neighbour";
  static constexpr const char* arguments = "f u c";
  TL_HD auto operator()(auto f, auto u, auto c) const { return sigmoid(f + u) * c; }
};
struct SumGates {
  static constexpr const char* name = "sum_gates";
  static constexpr const char* arguments = "i g o sum";
  TL_HD auto operator()(auto i, auto g, auto o, auto sum) const {
    auto c = sum + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o) * tanh(c), c);
  }
};

}  // namespace tapeloop::test
