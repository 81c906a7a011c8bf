// SPDX-License-Identifier: MIT
// FORMULA PAGE: cells without a product of the state: each unit depends on its own past only.
// Arguments are elements of [N, H].
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// IndRNN. Li et al. 2018, arXiv:1803.04831
//   h' = relu(z + u h), relu'(0) = 0, or tanh
struct IndRelu {
  static constexpr const char* name = "indrnn_relu";
  static constexpr const char* arguments = "z u h";
  TL_HD auto operator()(auto z, auto u, auto h) const {
    auto sum = z + u * h;
    return select(sum <= 0.0, 0.0, sum);
  }
};
// The same with tanh.
struct IndTanh {
  static constexpr const char* name = "indrnn_tanh";
  static constexpr const char* arguments = "z u h";
  TL_HD auto operator()(auto z, auto u, auto h) const { return tanh(z + u * h); }
};

// The candidate of minGRU and minLSTM: v, or a positive function of v.
template <bool kPositive>
TL_HD auto min_candidate(auto v) {
  if constexpr (kPositive) {
    return select(v < 0.0, sigmoid(v), v + 0.5);
  } else {
    return v;
  }
}
// minGRU. Feng et al. 2024, arXiv:2410.01201
//   h' = (1 - sigmoid(z)) h + sigmoid(z) n
template <bool kPositive>
struct MinGruStep {
  static constexpr const char* name = "min_gru";
  static constexpr const char* arguments = "z n h";
  TL_HD auto operator()(auto z, auto n, auto h) const {
    return h + sigmoid(z) * (min_candidate<kPositive>(n) - h);
  }
};
// minLSTM. Feng et al. 2024
//   h' = F h + I g, with F = sigmoid(f), I = sigmoid(i), or each divided by F + I
template <bool kPositive>
struct MinLstmStep {
  static constexpr const char* name = "min_lstm";
  static constexpr const char* arguments = "i f g h";
  TL_HD auto operator()(auto i, auto f, auto g, auto h) const {
    return sigmoid(f) * h + sigmoid(i) * min_candidate<kPositive>(g);
  }
};
// With F and I divided by F + I.
template <bool kPositive>
struct NormalisedMinLstmStep {
  static constexpr const char* name = "normalised_min_lstm";
  static constexpr const char* arguments = "i f g h";
  TL_HD auto operator()(auto i, auto f, auto g, auto h) const {
    auto in = sigmoid(i);
    auto forget = sigmoid(f);
    return (forget * h + in * min_candidate<kPositive>(g)) / (forget + in);
  }
};

// SRU. Lei et al. 2017, arXiv:1709.02755.  s: x, or a product of x in its place
//   c' = sigmoid(f) c + (1 - sigmoid(f)) x
//   h' = sigmoid(r) c' + (1 - sigmoid(r)) scale s, or tanh(c') in place of c'
template <bool kTanh>
struct SruStep {
  static constexpr const char* name = "sru";
  static constexpr const char* arguments = "x f r s c";
  static constexpr const char* results = "h c";
  double scale = 1;  // of s
  TL_HD auto operator()(auto x, auto f, auto r, auto s, auto c) const {
    auto next = x + sigmoid(f) * (c - x);
    auto skip = scale * s;
    if constexpr (kTanh) {
      return outputs(skip + sigmoid(r) * (tanh(next) - skip), next);
    } else {
      return outputs(skip + sigmoid(r) * (next - skip), next);
    }
  }
};
// Version 2: both gates also see the old c.
template <bool kTanh>
struct Sru2Step {
  static constexpr const char* name = "sru2";
  static constexpr const char* arguments = "x f r s vf vr c";
  static constexpr const char* results = "h c";
  double scale = 1;  // of s
  TL_HD auto operator()(auto x, auto f, auto r, auto s, auto vf, auto vr, auto c) const {
    return SruStep<kTanh>{scale}(x, f + vf * c, r + vr * c, s, c);
  }
};

// The positive function alone, of an initial state.
struct PositiveCandidate {
  static constexpr const char* name = "positive_candidate";
  TL_HD auto operator()(auto v) const { return min_candidate<true>(v); }
};

// QRNN. Bradbury et al. 2016, arXiv:1611.01576
//   f    h' = s(f) h + (1 - s(f)) tanh(z)
//   fo   c' = s(f) c + (1 - s(f)) tanh(z),   h' = s(o) c'
//   ifo  c' = s(f) c + s(i) tanh(z),         h' = s(o) c'          s: the sigmoid
enum class QrnnPool { f, fo, ifo };
template <QrnnPool kPool>
struct QrnnStep;
// f pooling.
template <>
struct QrnnStep<QrnnPool::f> {
  static constexpr const char* name = "qrnn_f";
  static constexpr const char* arguments = "z f c";
  static constexpr const char* results = "h c";
  TL_HD auto operator()(auto z, auto f, auto c) const {
    auto candidate = tanh(z);
    auto next = candidate + sigmoid(f) * (c - candidate);
    return outputs(next, next);
  }
};
// fo pooling.
template <>
struct QrnnStep<QrnnPool::fo> {
  static constexpr const char* name = "qrnn_fo";
  static constexpr const char* arguments = "z f o c";
  static constexpr const char* results = "h c";
  TL_HD auto operator()(auto z, auto f, auto o, auto c) const {
    auto candidate = tanh(z);
    auto next = candidate + sigmoid(f) * (c - candidate);
    return outputs(sigmoid(o) * next, next);
  }
};
// ifo pooling.
template <>
struct QrnnStep<QrnnPool::ifo> {
  static constexpr const char* name = "qrnn_ifo";
  static constexpr const char* arguments = "z f o i c";
  static constexpr const char* results = "h c";
  TL_HD auto operator()(auto z, auto f, auto o, auto i, auto c) const {
    auto next = sigmoid(f) * c + sigmoid(i) * tanh(z);
    return outputs(sigmoid(o) * next, next);
  }
};
// x itself: a part of the next state that is an input.
struct Kept {
  static constexpr const char* name = "kept";
  TL_HD auto operator()(auto x) const { return x; }
};

// A step of a complex unit, u + a s. LRU and S4D.
struct ComplexStep {
  static constexpr const char* name = "complex_step";
  static constexpr const char* arguments = "ur ui ar ai re im";
  static constexpr const char* results = "re im";
  TL_HD auto operator()(auto ur, auto ui, auto ar, auto ai, auto re, auto im) const {
    return outputs(ur + ar * re - ai * im, ui + ar * im + ai * re);
  }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct DiagonalPage
    : Page<IndRelu, IndTanh, MinGruStep<false>, MinGruStep<true>, MinLstmStep<false>,
           MinLstmStep<true>, NormalisedMinLstmStep<false>, NormalisedMinLstmStep<true>,
           SruStep<false>, SruStep<true>, Sru2Step<false>, Sru2Step<true>, PositiveCandidate,
           QrnnStep<QrnnPool::f>, QrnnStep<QrnnPool::fo>, QrnnStep<QrnnPool::ifo>, Kept,
           ComplexStep> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::DiagonalPage::contains<F>) struct PageOf<F> {
  using type = nn::DiagonalPage;
};
}  // namespace tapeloop
