// SPDX-License-Identifier: MIT
#include "tapeloop/nn/layers/group_norm.h"

#include <fmt/format.h>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/layers/batch_norm.h"

namespace tapeloop::nn {

GroupNorm::GroupNorm(std::int64_t count, std::int64_t channels, double eps, DType dtype)
    : groups(count), epsilon(eps) {
  if (count < 1 || channels < 1 || channels % count != 0) {
    fail("group_norm", fmt::format("{} groups of {} channels; expected at least 1 group, and a "
                                   "number that divides the channels",
                                   count, channels));
  }
  detail::check_batch_norm("group_norm", eps, 0);
  weight = parameter(Tensor::full({channels}, 1, dtype));
  bias = parameter(Tensor::zeros({channels}, dtype));
}

Var GroupNorm::operator()(const Var& x) const {
  if (!weight.defined() || !x.defined() || x.rank() < 2 || x.dim(1) != weight.dim(0)) {
    fail("group_norm",
         fmt::format("x is {}, expected [N, {}, ..]", x.defined() ? x.shape().str() : "undefined",
                     weight.defined() ? weight.dim(0) : 0));
  }
  if (x.numel() == 0) return x;
  const std::int64_t n = x.dim(0), channels = x.dim(1);
  const Var grouped = reshape(x, {n, groups, -1});
  const Var y = detail::normalised(grouped, detail::moments(grouped, {2}), epsilon, Var(), Var());
  const Shape of_channel{channels, 1};
  return reshape(
      reshape(y, {n, channels, -1}) * reshape(weight, of_channel) + reshape(bias, of_channel),
      x.shape());
}

}  // namespace tapeloop::nn
