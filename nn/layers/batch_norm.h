// SPDX-License-Identifier: MIT
// Batch normalisation, and the running statistics that replace those of the batch after training.
// Ioffe & Szegedy 2015, arXiv:1502.03167
#pragma once

#include <span>

#include "tapeloop/nn/layers/module.h"

namespace tapeloop::nn {

namespace detail {

// Mean and variance of x over some axes, which stay as axes of size 1. The variance is biased:
// divided by the number of elements.
struct Moments {
  Var mean, variance;
  Var centred;  // x - mean; undefined: not calculated yet
};
Moments moments(const Var& x, std::initializer_list<int> axes);
Moments moments(const Var& x, std::span<const int> axes);
// (x - mean) / sqrt(variance + epsilon) weight + bias; weight and bias broadcast; undefined
// ones are 1 and 0.
Var normalised(const Var& x, const Moments& moments, double epsilon, const Var& weight,
               const Var& bias);
// running := (1 - momentum) running + momentum of the batch, for mean and variance. `batch` are
// moments of `count` elements; the running variance takes the unbiased one. Has no effect in a
// function that recompute() runs again.
void move_running(const Tensor& mean, const Tensor& variance, const Moments& batch,
                  std::int64_t count, double momentum);
// Throws, as `layer`, unless epsilon is 0 or above and 0 <= momentum <= 1.
void check_batch_norm(const char* layer, double epsilon, double momentum);

}  // namespace detail

// Normalises each channel over the batch and all positions, then scales and shifts it:
//   y = (x - mean) / sqrt(variance + epsilon) weight + bias     x [N, C, ..] -> y of the same shape
// While a tape records, mean and (biased) variance are those of x, and the running ones move:
//   running := (1 - momentum) running + momentum of x           with the unbiased variance
// Without a tape, or if `frozen`, they are the running ones, which do not move. Throws if x has
// another number of channels, or if statistics are taken of fewer than two elements. Saves x, and
// a contiguous copy if x is not contiguous.
struct BatchNorm {
  Var weight, bias;               // [C], initially 1 and 0
  Var running_mean, running_var;  // [C], initially 0 and 1
  Var num_batches_tracked;        // []: how often the running statistics have moved
  double epsilon = 1e-5;          // added to the variance
  double momentum = 0.1;          // share of the new statistics in the running ones
  bool frozen = false;            // for fine-tuning
  BatchNorm() = default;
  explicit BatchNorm(std::int64_t channels, double epsilon = 1e-5, double momentum = 0.1,
                     DType dtype = DType::float32);
  Var operator()(const Var& x) const;
  void visit(Visitor& v) const {
    v("weight", weight), v("bias", bias);
    v.buffer("running_mean", running_mean), v.buffer("running_var", running_var);
    v.buffer("num_batches_tracked", num_batches_tracked);
  }
};

}  // namespace tapeloop::nn
