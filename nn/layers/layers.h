// SPDX-License-Identifier: MIT
// Layers without state over time: Linear, Embedding, LayerNorm, Dropout, Dropout2d. Names and
// initial values are PyTorch's.
#pragma once

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/nn/layers/module.h"

namespace tapeloop::nn {

// y = x W^T + b      x [..., in] -> y [..., out], W [out, in]
// Weight and bias are initialized from U(+-1/sqrt(in)).
struct Linear {
  Var weight;  // W
  Var bias;    // undefined if the layer has no bias
  Linear() = default;
  Linear(std::int64_t in, std::int64_t out, Random& random, bool with_bias = true,
         DType dtype = DType::float32);
  Var operator()(const Var& x) const { return linear(x, weight, bias); }
  void visit(Visitor& v) const {
    v("weight", weight);
    v("bias", bias);
  }
};

// Rows of a table by index: index [...] -> [..., width]; initialized from N(0, 1). The row
// padding_index (if not negative) is initialized to zero and gets no gradient.
struct Embedding {
  Var weight;                       // [count, width]
  std::int64_t padding_index = -1;  // the row without a gradient; -1: none
  Embedding() = default;
  Embedding(std::int64_t count, std::int64_t width, Random& random, std::int64_t padding = -1,
            DType dtype = DType::float32);
  Var operator()(const Tensor& index) const;
  void visit(Visitor& v) const { v("weight", weight); }
};

// Normalises the last axis to mean 0 and variance 1, then scales and shifts. Ba et al. 2016
struct LayerNorm {
  Var weight;             // [features], initially 1
  Var bias;               // [features], initially 0
  double epsilon = 1e-5;  // added to the variance
  LayerNorm() = default;
  explicit LayerNorm(std::int64_t features, double epsilon = 1e-5, DType dtype = DType::float32);
  Var operator()(const Var& x) const { return layer_norm(x, weight, bias, epsilon); }
  void visit(Visitor& v) const {
    v("weight", weight);
    v("bias", bias);
  }
};

// Drops elements with probability p while a tape records, else it is the identity. It has its own
// stream of random numbers.
struct Dropout {
  double p = 0.5;            // the probability
  mutable Random random{0};  // its stream
  Dropout() = default;
  Dropout(double p, Random& random);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) const { v("random", random); }
};

// Drops whole channels of x [N, C, ..]: neighbouring pixels are so alike that one alone does not
// count. Tompson et al. 2015, arXiv:1411.4280
struct Dropout2d {
  double p = 0.5;            // the probability
  mutable Random random{0};  // its stream
  Dropout2d() = default;
  Dropout2d(double p, Random& random);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) const { v("random", random); }
};

}  // namespace tapeloop::nn
