// SPDX-License-Identifier: MIT
// FORMULA PAGE: the formulas of cells on grids, each written once. Kernels and derivatives are
// compiled from them. All arguments are elements of [N, H]: pre-activations and previous states.
// c_d is the cell state of the predecessor along dimension d; outside of the grid it is 0.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

namespace detail {
// "f1 f2 c1 c2" for D = 2 and the letters f and c.
template <int D, char First, char Second>
struct PathNames {
  struct Text {
    char text[static_cast<std::size_t>(6 * D)];
  };
  static constexpr Text made = [] {
    Text result{};
    for (int i = 0; i < 2 * D; ++i) {
      result.text[3 * i] = i < D ? First : Second;
      result.text[3 * i + 1] = static_cast<char>('1' + i % D);
      result.text[3 * i + 2] = i + 1 < 2 * D ? ' ' : '\0';
    }
    return result;
  }();
};
}  // namespace detail

// --- Multi-Dimensional LSTM with D predecessors ---

// A step is two formulas: what arrives from the predecessors, then gates. Graves, Fernandez &
// Schmidhuber 2007, arXiv:0705.2011
//   m = scale (sigmoid(f_1) c_1 + .. + sigmoid(f_D) c_D)        scale 1 / D: their mean
template <int D>
struct MdForgetSum {
  static constexpr const char* name = "md_forget_sum";
  static constexpr const char* arguments = detail::PathNames<D, 'f', 'c'>::made.text;
  static constexpr const char* results = "m";
  double scale = 1;
  template <class... X>
  requires(sizeof...(X) == 2 * D) TL_HD auto operator()(X... x) const {
    return sum(outputs(x...), std::make_index_sequence<static_cast<std::size_t>(D)>{});
  }
  template <class All, std::size_t... d>
  TL_HD auto sum(const All& all, std::index_sequence<d...>) const {
    return scale * (... + (sigmoid(output<d>(all)) * output<D + d>(all)));
  }
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
  double scale = 1;
  TL_HD auto operator()(auto i, auto f, auto c, auto pi, auto pf) const {
    return outputs(i + pi * c, scale * (sigmoid(f + pf * c) * c));
  }
};
// The same for the other predecessors.
struct MdPeepholeNext {
  static constexpr const char* name = "md_peephole_next";
  static constexpr const char* arguments = "i m f c pi pf";
  static constexpr const char* results = "i m";
  double scale = 1;
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

// The stable cells of Leifert, Strauss, Gruening, Wustlich & Labahn 2016, JMLR 17(97): what arrives
// is a weighted mean, so it is never larger than the largest c_d.
//   m = sum_d w_d c_d / sum_d w_d        w_d = sigmoid(l_d)
template <int D>
struct MdMean {
  static constexpr const char* name = "md_mean";
  static constexpr const char* arguments = detail::PathNames<D, 'l', 'c'>::made.text;
  static constexpr const char* results = "m";
  template <class... X>
  requires(sizeof...(X) == 2 * D) TL_HD auto operator()(X... x) const {
    return mean(outputs(x...), std::make_index_sequence<static_cast<std::size_t>(D)>{});
  }
  template <class All, std::size_t... d>
  TL_HD static auto mean(const All& all, std::index_sequence<d...>) {
    const auto weights = outputs(sigmoid(output<d>(all))...);
    return (... + (output<d>(weights) * output<D + d>(all))) / (... + output<d>(weights));
  }
};
//   The same with w_d = exp(l_d): weights by softmax.
template <int D>
struct MdSoftmaxMean {
  static constexpr const char* name = "md_softmax_mean";
  static constexpr const char* arguments = detail::PathNames<D, 'l', 'c'>::made.text;
  static constexpr const char* results = "m";
  template <class... X>
  requires(sizeof...(X) == 2 * D) TL_HD auto operator()(X... x) const {
    return mean(outputs(x...), std::make_index_sequence<static_cast<std::size_t>(D)>{});
  }
  template <class All, std::size_t... d>
  TL_HD static auto mean(const All& all, std::index_sequence<d...>) {
    const auto top = largest(output<d>(all)...);
    const auto weights = outputs(exp(output<d>(all) - top)...);
    return (... + (output<d>(weights) * output<D + d>(all))) / (... + output<d>(weights));
  }
  TL_HD static auto largest(const auto& only) { return only; }
  TL_HD static auto largest(const auto& first, const auto&... others) {
    return max(first, largest(others...));
  }
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
struct GridGatesPage
    : Page<MdForgetSum<1>, MdForgetSum<2>, MdForgetSum<3>, MdForgetSum<4>, MdForgetSum<5>, MdGates,
           MdPeepholeFirst, MdPeepholeNext, MdPeepholeGates, MdMean<1>, MdMean<2>, MdMean<3>,
           MdMean<4>, MdMean<5>, MdSoftmaxMean<1>, MdSoftmaxMean<2>, MdSoftmaxMean<3>,
           MdSoftmaxMean<4>, MdSoftmaxMean<5>, MdLeakyGates, GridGates> {
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
