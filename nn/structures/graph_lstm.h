// SPDX-License-Identifier: MIT
// The cell of a Graph LSTM. Liang et al. 2016, arXiv:1603.07063; formulas: edge_gates.h
//   I input size, H hidden units.
#pragma once

#include "tapeloop/nn/recurrent/cell.h"

namespace tapeloop::nn {

// The h of a neighbour that its forget gate reads: `previous` is that of the layer before, as
// printed in the paper; `current` is the newest one, which is that of this layer if the neighbour
// has run.
enum class ForgetReads { previous, current };
// h' = tanh(sigmoid(o) m'), as printed in the paper, or sigmoid(o) tanh(m'), as in an LSTM.
enum class GraphOutput { tanh_om, o_tanh_m };

struct GraphLstmOptions {
  std::int64_t input = 0;   // I
  std::int64_t hidden = 0;  // H
  int layers = 1;           // of a Graph
  // The input of layer k + 1 is the input of layer k plus its h, so I = H; else it is the h of k.
  bool residual = false;
  bool adaptive = true;  // a forget gate for the m of each neighbour; else no neighbour's m is read
  ForgetReads forget_reads = ForgetReads::previous;  // of a neighbour's forget gate
  GraphOutput output = GraphOutput::tanh_om;         // how h' is made
  bool bias = true;                                  // whether the cells have a bias
  DType dtype = DType::float32;                      // of the weights
};

// For Schedule::graph(). h and m are the node's own state of the layer before; of a neighbour j
// they are the newest. near: the mean of the neighbours' h.
//   z = W_ih x + W_hh h + W_nh near + b                      rows i, g, o
//   f = W_ih x + W_hh h + b                                  rows f; + W_nh near if not adaptive
//   f_j = W_ih x + W_nh h_j + b                              rows f, for each neighbour j
//   m' = mean of sigmoid(f_j) m_j + sigmoid(f) m + sigmoid(i) tanh(g)     no mean if not adaptive
//   h' = tanh(sigmoid(o) m')
// W_nh h, rows f, is calculated once for all neighbours: a hidden part of the state, after h and m.
struct GraphLstmCell {
  using State = nn::State<2>;
  Var weight_ih;             // [4H, I], rows i f g o
  Var weight_hh;             // [4H, H], for the node's own h
  Var weight_nh;             // [4H, H], for the neighbours' h
  Var bias_ih;               // [4H], undefined without a bias
  GraphLstmOptions options;  // as given to the constructor
  GraphLstmCell() = default;
  // All weights start from U(+-1/sqrt(H)). Throws if a size is less than 1.
  GraphLstmCell(const GraphLstmOptions& options, Random& random);
  std::array<std::int64_t, 3> state_sizes() const;
  Var input(const Var& x) const { return linear(x, weight_ih, bias_ih); }
  PoolVector<Var> hidden_parts(const State& s) const;  // W_nh h, rows f
  Recurrence recurrence(const State& before) const;    // the formulas above
  void visit(Visitor& v) const {
    v("weight_ih", weight_ih);
    v("weight_hh", weight_hh);
    v("weight_nh", weight_nh);
    v("bias_ih", bias_ih);
  }
};

}  // namespace tapeloop::nn
