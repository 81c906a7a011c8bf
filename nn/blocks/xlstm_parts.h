// SPDX-License-Identifier: MIT
// The parts of xLSTM blocks: norms, a causal convolution, a product in groups, a gated MLP.
//   T time steps, N batch, F features.
#pragma once

#include "tapeloop/autograd/ops/linear_groups.h"
#include "tapeloop/nn/layers/layers.h"

namespace tapeloop::nn {

// Normalises each of `groups` equal groups of the last axis to mean 0 and variance 1, and scales it
// by 1 + weight. Two groups or more: the group norm of a cell's heads. Wu & He 2018,
// arXiv:1803.08494
struct ScaledNorm {
  Var weight;               // [F], initially 0
  std::int64_t groups = 1;  // they divide F
  double epsilon = 1e-5;    // added to the variance
  ScaledNorm() = default;
  ScaledNorm(std::int64_t features, std::int64_t groups, DType dtype);
  Var operator()(const Var& x) const;  // [.., F] -> [.., F]
  void visit(Visitor& v) const { v("weight", weight); }
};

// y_t = bias + the sum over k of weight_k x_{t - K + 1 + k}, each feature by itself. Before the
// first step x is 0, or the state: the last K - 1 inputs.
struct CausalConvolution {
  Var weight;  // [F, 1, K]
  Var bias;    // [F]
  CausalConvolution() = default;
  CausalConvolution(std::int64_t features, std::int64_t taps, Random& random, DType dtype);
  std::int64_t taps() const { return weight.dim(2); }  // K
  // x with the state before it: x [T, N, F], state [K - 1, N, F] or undefined -> [K - 1 + T, N, F]
  Var with_state(const Var& x, const Var& state) const;
  Var operator()(const Var& x_with_state) const;  // [K - 1 + T, N, F] -> [T, N, F]
  void visit(Visitor& v) const { v("conv.weight", weight), v("conv.bias", bias); }
};

// A Linear with a block-diagonal weight: each group of outputs reads its group of inputs.
struct GroupLinear {
  Var weight;  // [groups, F / groups, F / groups]
  Var bias;    // [F], undefined without a bias
  GroupLinear() = default;
  // Drawn from N(0, 2 / (5 features of the model)).
  GroupLinear(std::int64_t features, std::int64_t groups, std::int64_t model_features,
              bool with_bias, Random& random, DType dtype);
  Var operator()(const Var& x) const;  // [.., F] -> [.., F]
  void visit(Visitor& v) const { v("weight", weight), v("bias", bias); }
};

// y = W_down (gelu(g) u), g u = W_up x. Shazeer 2020, arXiv:2002.05202
struct GatedMlp {
  Linear proj_up;    // [2 U, F]
  Linear proj_down;  // [F, U]
  Var operator()(const Var& x) const;
  void visit(Visitor& v) const { v("proj_up", proj_up), v("proj_down", proj_down); }
};

}  // namespace tapeloop::nn
