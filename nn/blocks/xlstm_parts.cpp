// SPDX-License-Identifier: MIT
// The parts of xLSTM blocks.
#include "tapeloop/nn/blocks/xlstm_parts.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/gates/mlstm.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

static void check_features(const char* part, const Var& x, std::int64_t features) {
  if (x.rank() >= 1 && x.dim(-1) == features) return;
  fail(part,
       fmt::format("x is {}, expected {} features in its last axis", x.shape().str(), features));
}

ScaledNorm::ScaledNorm(std::int64_t features, std::int64_t of_groups, DType dtype)
    : weight(parameter(Tensor::zeros({features}, dtype))), groups(of_groups) {}

Var ScaledNorm::operator()(const Var& x) const {
  const std::int64_t features = weight.dim(0), size = features / groups;
  check_features("scaled_norm", x, features);
  const std::int64_t rows = x.shape().numel() / features;
  const Var y = reshape(x, {rows, groups, size});
  const Var ones(Tensor::full({size}, 1, x.dtype(), x.device()));
  const Var zeros(Tensor::zeros({size}, x.dtype(), x.device()));
  return reshape(layer_norm(y, ones, zeros, epsilon), x.shape()) * (1.0 + weight);
}

CausalConvolution::CausalConvolution(std::int64_t features, std::int64_t taps, Random& random,
                                     DType dtype) {
  if (taps < 1) {
    fail("causal_convolution", fmt::format("the taps are {}, expected 1 or more", taps));
  }
  const double bound = 1 / std::sqrt(static_cast<double>(taps));
  weight = uniform_parameter({features, 1, taps}, bound, random, dtype);
  bias = uniform_parameter({features}, bound, random, dtype);
}

Var CausalConvolution::with_state(const Var& x, const Var& state) const {
  check_features("causal_convolution", x, weight.dim(0));
  const Shape before{taps() - 1, x.dim(1), x.dim(2)};
  if (state.defined() && state.shape() != before) {
    fail("causal_convolution", fmt::format("the state is {}, expected {}: the inputs of the steps "
                                           "before",
                                           state.shape().str(), before.str()));
  }
  if (taps() == 1) return x;
  return concat({state.defined() ? state : Var(Tensor::zeros(before, x.dtype(), x.device())), x},
                0);
}

Var CausalConvolution::operator()(const Var& x) const {
  const std::int64_t steps = x.dim(0) - taps() + 1;
  Var sum = bias;
  for (std::int64_t k = 0; k < taps(); ++k) {
    const Var tap = select_index(select_index(weight, 2, k), 1, 0);
    sum = sum + slice(x, 0, k, k + steps) * tap;
  }
  return sum;
}

GroupLinear::GroupLinear(std::int64_t features, std::int64_t groups, std::int64_t model_features,
                         bool with_bias, Random& random, DType dtype) {
  if (groups < 1 || features % groups != 0) {
    fail("group_linear", fmt::format("features are {}, groups {}; expected groups that divide the "
                                     "features",
                                     features, groups));
  }
  const std::int64_t size = features / groups;
  const double deviation = std::sqrt(2 / (5 * static_cast<double>(model_features)));
  weight = parameter(random_normal({groups, size, size}, 0, deviation, random, dtype));
  if (with_bias) bias = parameter(Tensor::zeros({features}, dtype));
}

Var GroupLinear::operator()(const Var& x) const {
  const std::int64_t groups = weight.dim(0), size = weight.dim(1);
  return linear_groups(x, reshape(weight, {groups * size, size}), static_cast<int>(groups), bias);
}

Var GatedMlp::operator()(const Var& x) const {
  const auto halves = chunk(proj_up(x), 2, -1);
  return proj_down(pointwise(GeluGate{}, halves[0], halves[1]));
}

}  // namespace tapeloop::nn
