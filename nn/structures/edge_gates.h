// SPDX-License-Identifier: MIT
// FORMULA PAGE: the formulas of cells on trees and graphs, each written once. A node makes its
// state from the values that its children or neighbours send it. Arguments are elements of [N, H]:
// pre-activations and states. A formula on edges has arguments with a row for each edge. The order
// of gates is i f g o.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// The part of its cell state c that one child or neighbour sends, through its own forget gate.
//   sent = sigmoid(f + u) c                      f: from the node, u: from the neighbour
struct ForgetGate {
  static constexpr const char* name = "forget_gate";
  static constexpr const char* arguments = "f u c";
  static constexpr const char* results = "sent";
  TL_HD auto operator()(auto f, auto u, auto c) const { return sigmoid(f + u) * c; }
};
// The same for a child in its own place, added to the parts that other children sent.
//   kept' = kept + sigmoid(f) c
struct ForgetAndAdd {
  static constexpr const char* name = "forget_and_add";
  static constexpr const char* arguments = "f c kept";
  static constexpr const char* results = "kept";
  TL_HD auto operator()(auto f, auto c, auto kept) const { return kept + sigmoid(f) * c; }
};
// For the first child.
//   kept = sigmoid(f) c
struct Forget {
  static constexpr const char* name = "forget";
  static constexpr const char* arguments = "f c";
  static constexpr const char* results = "kept";
  TL_HD auto operator()(auto f, auto c) const { return sigmoid(f) * c; }
};

// Tree-LSTM. Tai, Socher & Manning 2015, arXiv:1503.00075; kept: the sum that the children sent
//   c' = kept + sigmoid(i) tanh(g)
//   h' = sigmoid(o) tanh(c')
struct TreeLstmGates {
  static constexpr const char* name = "tree_lstm_gates";
  static constexpr const char* arguments = "i g o kept";
  static constexpr const char* results = "h c";
  TL_HD auto operator()(auto i, auto g, auto o, auto kept) const {
    auto c_next = kept + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o) * tanh(c_next), c_next);
  }
};

// Graph LSTM. Liang et al. 2016, arXiv:1603.07063; kept: the mean that the neighbours sent
//   m' = kept + sigmoid(f) m + sigmoid(i) tanh(g)
//   h' = tanh(sigmoid(o) m')
struct GraphLstmGates {
  static constexpr const char* name = "graph_lstm_gates";
  static constexpr const char* arguments = "i f g o m kept";
  static constexpr const char* results = "h m";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto m, auto kept) const {
    auto m_next = kept + sigmoid(f) * m + sigmoid(i) * tanh(g);
    return outputs(tanh(sigmoid(o) * m_next), m_next);
  }
};
// The same with the output of an LSTM.
//   h' = sigmoid(o) tanh(m')
struct GraphLstmGatesLikeLstm {
  static constexpr const char* name = "graph_lstm_gates_like_lstm";
  static constexpr const char* arguments = "i f g o m kept";
  static constexpr const char* results = "h m";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto m, auto kept) const {
    auto m_next = kept + sigmoid(f) * m + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o) * tanh(m_next), m_next);
  }
};
// A Graph LSTM that is not adaptive: it does not read the neighbours' m.
//   m' = sigmoid(f) m + sigmoid(i) tanh(g)
//   h' = tanh(sigmoid(o) m')
struct LstmGatesTanhLast {
  static constexpr const char* name = "lstm_gates_tanh_last";
  static constexpr const char* arguments = "i f g o m";
  static constexpr const char* results = "h m";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto m) const {
    auto m_next = sigmoid(f) * m + sigmoid(i) * tanh(g);
    return outputs(tanh(sigmoid(o) * m_next), m_next);
  }
};
// A part of the state that a step does not change.
struct Carry {
  static constexpr const char* name = "carry";
  static constexpr const char* arguments = "x";
  TL_HD auto operator()(auto x) const { return x; }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct EdgeGatesPage : Page<ForgetGate, ForgetAndAdd, Forget, TreeLstmGates, GraphLstmGates,
                            GraphLstmGatesLikeLstm, LstmGatesTanhLast, Carry> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::EdgeGatesPage::contains<F>) struct PageOf<F> {
  using type = nn::EdgeGatesPage;
};
}  // namespace tapeloop
