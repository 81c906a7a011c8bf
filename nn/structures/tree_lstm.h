// SPDX-License-Identifier: MIT
// The cells of Tree-LSTMs. Tai, Socher & Manning 2015, arXiv:1503.00075; formulas: edge_gates.h
//   I input size, H hidden units, K children of a node.
#pragma once

#include "tapeloop/nn/recurrent/cell.h"

namespace tapeloop::nn {

struct TreeLstmOptions {
  std::int64_t input = 0;        // I
  std::int64_t hidden = 0;       // H
  int arity = 2;                 // K, of NaryLstmCell
  bool bias = true;              // whether the cell has a bias
  DType dtype = DType::float32;  // of the weights
};

// Any number of children, in no order: for Schedule::trees_by_parent().
//   z = W_ih x + b + W_hh (sum of the children's h)          rows i, g, o
//   f_k = W_ih x + b + W_hh h_k                              rows f, for each child k
//   c = sum of sigmoid(f_k) c_k + sigmoid(i) tanh(g),  h = sigmoid(o) tanh(c)
// A node calculates W_hh h, rows f, for its parent: a hidden part of the state, after h and c.
struct ChildSumLstmCell {
  using State = nn::State<2>;
  Var weight_ih;  // [4H, I], rows i f g o
  Var weight_hh;  // [4H, H]
  Var bias_ih;    // [4H], undefined without a bias
  ChildSumLstmCell() = default;
  // All weights start from U(+-1/sqrt(H)). Throws if a size is less than 1.
  ChildSumLstmCell(const TreeLstmOptions& options, Random& random);
  std::array<std::int64_t, 3> state_sizes() const;
  Var input(const Var& x) const { return linear(x, weight_ih, bias_ih); }
  Recurrence recurrence() const;  // the formulas above
  void visit(Visitor& v) const {
    v("weight_ih", weight_ih);
    v("weight_hh", weight_hh);
    v("bias_ih", bias_ih);
  }
};

// Up to K children, each in a place of its own: for Schedule::trees_by_children().
//   z = W_ih x + b + W_hh [h_1; ..; h_K]        rows i, f_1 .. f_K, g, o; missing children are 0
//   c = sum of sigmoid(f_k) c_k + sigmoid(i) tanh(g),  h = sigmoid(o) tanh(c)
// The K forget gates share W_ih and b.
struct NaryLstmCell {
  using State = nn::State<2>;
  Var weight_ih;  // [4H, I], rows i f g o
  Var weight_hh;  // [(3 + K) H, K H], rows i f_1 .. f_K g o, columns h_1 .. h_K
  Var bias_ih;    // [4H], undefined without a bias
  NaryLstmCell() = default;
  // As above. Throws if K is not 1 to 16.
  NaryLstmCell(const TreeLstmOptions& options, Random& random);
  std::array<std::int64_t, 2> state_sizes() const;
  Var input(const Var& x) const;
  Recurrence recurrence() const;  // the formulas above
  void visit(Visitor& v) const {
    v("weight_ih", weight_ih);
    v("weight_hh", weight_hh);
    v("bias_ih", bias_ih);
  }
  int arity() const;  // K
};

}  // namespace tapeloop::nn
