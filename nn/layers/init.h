// SPDX-License-Identifier: MIT
// Initial values of weights. Weights are [out, in]; fan-in is the last axis, fan-out the first.
#pragma once

#include "tapeloop/autograd/ops/ops.h"

namespace tapeloop::nn {

// A parameter drawn from U(-bound, bound). PyTorch uses 1/sqrt(H) in recurrent
// layers, 1/sqrt(in) in Linear.
Var uniform_parameter(const Shape& shape, double bound, Random& random,
                      DType dtype = DType::float32);

namespace init {
// Set new values for an existing parameter. uniform() draws from [low, high) and normal() draws
// finite numbers, as random_uniform() and random_normal() of ops.h do.
void uniform(const Var& parameter, double low, double high, Random& random);
void normal(const Var& parameter, double mean, double deviation, Random& random);
void constant(const Var& parameter, double value);  // all elements
// Glorot & Bengio 2010: U(+-gain sqrt(6 / (in + out))).
// xavier_normal(): N(0, gain^2 2 / (in + out)).
void xavier_uniform(const Var& parameter, Random& random, double gain = 1.0);
void xavier_normal(const Var& parameter, Random& random, double gain = 1.0);
// He et al. 2015, for relu: U(+-sqrt(6 / in)); he_normal(): N(0, 2 / in).
void he_uniform(const Var& parameter, Random& random);
void he_normal(const Var& parameter, Random& random);
// Saxe et al. 2014: rows (or columns, if there are more rows) are orthonormal, times gain. For a
// recurrent weight [G*H, H], blocks = G makes the block of each gate orthogonal.
void orthogonal(const Var& parameter, Random& random, double gain = 1.0, int blocks = 1);
// Adds `value` to the forget gate's part of an LSTM's bias [4H] (order i f g o).
// Jozefowicz et al. 2015 use 1.
void forget_gate_bias(const Var& bias, double value);
}  // namespace init

}  // namespace tapeloop::nn
