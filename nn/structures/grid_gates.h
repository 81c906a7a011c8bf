// SPDX-License-Identifier: MIT
// FORMULA PAGE: the formulas of cells on grids, each written once. Kernels and derivatives are
// compiled from them. All arguments are elements of [N, H]: pre-activations and previous states.
// c_d is the cell state of the predecessor along dimension d; outside of the grid it is 0.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// --- Multi-Dimensional LSTM with D predecessors ---
//
// A step first adds up m from the cell states of the predecessors, by formulas for one or two of
// them. Then it applies the gates. Graves, Fernandez & Schmidhuber 2007, arXiv:0705.2011

//   m = scale sigmoid(f) c        scale: 1, or 1 / D for the mean over the predecessors
struct MdForgetFirst {
  static constexpr const char* name = "md_forget_first";
  static constexpr const char* arguments = "f c";
  static constexpr const char* results = "m";
  double scale = 1;  // of the sum
  TL_HD auto operator()(auto f, auto c) const { return scale * (sigmoid(f) * c); }
};
// The first two predecessors at once, because most grids have two dimensions.
struct MdForgetPair {
  static constexpr const char* name = "md_forget_pair";
  static constexpr const char* arguments = "f1 f2 c1 c2";
  static constexpr const char* results = "m";
  double scale = 1;  // of the sum
  TL_HD auto operator()(auto f1, auto f2, auto c1, auto c2) const {
    return scale * (sigmoid(f1) * c1 + sigmoid(f2) * c2);
  }
};
//   m' = m + scale sigmoid(f) c
struct MdForgetNext {
  static constexpr const char* name = "md_forget_next";
  static constexpr const char* arguments = "m f c";
  static constexpr const char* results = "m";
  double scale = 1;  // of the sum
  TL_HD auto operator()(auto m, auto f, auto c) const { return m + scale * (sigmoid(f) * c); }
};
//   c' = m + sigmoid(i) tanh(g)
//   h' = sigmoid(o) tanh(c')
struct MdGates {
  static constexpr const char* name = "md_gates";
  static constexpr const char* arguments = "i g o m";
  static constexpr const char* results = "h c";
  TL_HD auto operator()(auto i, auto g, auto o, auto m) const {
    auto c = m + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o) * tanh(c), c);
  }
};

// With peepholes p: i sees every c_d, f_d sees its own, o sees the new c. One formula for each
// predecessor; the first starts the sum m.
//   i' = i + p_i c_d
//   m' = m + scale sigmoid(f_d + p_f c_d) c_d
struct MdPeepholeFirst {
  static constexpr const char* name = "md_peephole_first";
  static constexpr const char* arguments = "i f c pi pf";
  static constexpr const char* results = "i m";
  double scale = 1;  // of the sum
  TL_HD auto operator()(auto i, auto f, auto c, auto pi, auto pf) const {
    return outputs(i + pi * c, scale * (sigmoid(f + pf * c) * c));
  }
};
// The same for the other predecessors.
struct MdPeepholeNext {
  static constexpr const char* name = "md_peephole_next";
  static constexpr const char* arguments = "i m f c pi pf";
  static constexpr const char* results = "i m";
  double scale = 1;  // of the sum
  TL_HD auto operator()(auto i, auto m, auto f, auto c, auto pi, auto pf) const {
    return outputs(i + pi * c, m + scale * (sigmoid(f + pf * c) * c));
  }
};
//   c' = m + sigmoid(i) tanh(g)
//   h' = sigmoid(o + p_o c') tanh(c')
struct MdPeepholeGates {
  static constexpr const char* name = "md_peephole_gates";
  static constexpr const char* arguments = "i g o m po";
  static constexpr const char* results = "h c";
  TL_HD auto operator()(auto i, auto g, auto o, auto m, auto po) const {
    auto c = m + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o + po * c) * tanh(c), c);
  }
};

// The stable cells of Leifert, Strauss, Gruening, Wustlich & Labahn 2016, JMLR 17(97): m is a
// weighted mean, so it is never larger than the largest c_d.
//   m = sum_d w_d c_d / sum_d w_d        w_d = sigmoid(l_d), or exp(l_d - t); t: the largest l_d
// n and w are the two sums so far.
struct MdWeighFirst {
  static constexpr const char* name = "md_weigh_first";
  static constexpr const char* arguments = "l c";
  static constexpr const char* results = "n w";
  TL_HD auto operator()(auto l, auto c) const {
    auto weight = sigmoid(l);
    return outputs(weight * c, weight);
  }
};
// Adds another predecessor to both sums.
struct MdWeighNext {
  static constexpr const char* name = "md_weigh_next";
  static constexpr const char* arguments = "n w l c";
  static constexpr const char* results = "n w";
  TL_HD auto operator()(auto n, auto w, auto l, auto c) const {
    auto weight = sigmoid(l);
    return outputs(n + weight * c, w + weight);
  }
};
// The larger of t and l, for exp.
struct MdLargest {
  static constexpr const char* name = "md_largest";
  static constexpr const char* arguments = "t l";
  static constexpr const char* results = "t";
  TL_HD auto operator()(auto t, auto l) const { return max(t, l); }
};
// The first predecessor, with w_d = exp(l_d - t).
struct MdSoftmaxFirst {
  static constexpr const char* name = "md_softmax_first";
  static constexpr const char* arguments = "t l c";
  static constexpr const char* results = "n w";
  TL_HD auto operator()(auto t, auto l, auto c) const {
    auto weight = exp(l - t);
    return outputs(weight * c, weight);
  }
};
// Adds another predecessor to both sums.
struct MdSoftmaxNext {
  static constexpr const char* name = "md_softmax_next";
  static constexpr const char* arguments = "n w t l c";
  static constexpr const char* results = "n w";
  TL_HD auto operator()(auto n, auto w, auto t, auto l, auto c) const {
    auto weight = exp(l - t);
    return outputs(n + weight * c, w + weight);
  }
};
//   m = n / w
struct MdMean {
  static constexpr const char* name = "md_mean";
  static constexpr const char* arguments = "n w";
  static constexpr const char* results = "m";
  TL_HD auto operator()(auto n, auto w) const { return n / w; }
};
// Stable: LstmGates with m in place of c. LeakyLP:
//   c' = (1 - sigmoid(f)) tanh(g) + sigmoid(f) m
//   h' = tanh(sigmoid(o1) c' + sigmoid(o2) m)
struct MdLeakyGates {
  static constexpr const char* name = "md_leaky_gates";
  static constexpr const char* arguments = "f g o1 o2 m";
  static constexpr const char* results = "h c";
  TL_HD auto operator()(auto f, auto g, auto o1, auto o2, auto m) const {
    auto candidate = tanh(g);
    auto c = candidate + sigmoid(f) * (m - candidate);
    return outputs(tanh(sigmoid(o1) * c + sigmoid(o2) * m), c);
  }
};

// --- Grid LSTM ---

// One dimension of a block. Kalchbrenner, Danihelka & Graves 2015, arXiv:1507.01526
//   m' = sigmoid(f) m + sigmoid(i) tanh(g)
//   h' = tanh(sigmoid(o) m')
// With h' = sigmoid(o) tanh(m') it is LstmGates.
struct GridGates {
  static constexpr const char* name = "grid_gates";
  static constexpr const char* arguments = "i f g o m";
  static constexpr const char* results = "h m";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto m) const {
    auto m_next = sigmoid(f) * m + sigmoid(i) * tanh(g);
    return outputs(tanh(sigmoid(o) * m_next), m_next);
  }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct GridGatesPage : Page<MdForgetFirst, MdForgetPair, MdForgetNext, MdGates, MdPeepholeFirst,
                            MdPeepholeNext, MdPeepholeGates, MdWeighFirst, MdWeighNext, MdLargest,
                            MdSoftmaxFirst, MdSoftmaxNext, MdMean, MdLeakyGates, GridGates> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::GridGatesPage::contains<F>) struct PageOf<F> {
  using type = nn::GridGatesPage;
};
}  // namespace tapeloop
