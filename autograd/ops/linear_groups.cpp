// SPDX-License-Identifier: MIT
// A product with a block-diagonal weight that is stored without its zeros: the heads of a cell.
// linear_groups() consists of other operations, which have its gradients. recurrent() calls
// group_weight_gradient() for its products.
#include "tapeloop/autograd/ops/linear_groups.h"

#include <fmt/format.h>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

Var linear_groups(const Var& x, const Var& w, int groups, const Var& b) {
  const std::int64_t columns = x.rank() < 1 ? 0 : x.dim(-1);
  if (groups < 1 || columns < 1 || columns % groups != 0 || w.rank() != 2 ||
      w.dim(0) % columns != 0 || w.dim(1) * groups != columns) {
    fail("linear_groups",
         fmt::format("x is {}, w is {}, groups {}: expected x [.., I] and w [B * I, I / groups]",
                     x.shape().str(), w.shape().str(), groups));
  }
  const std::int64_t group = columns / groups, blocks = w.dim(0) / columns;
  const std::int64_t rows = x.shape().numel() / columns;
  // [G, rows, group] times [G, group, blocks * group]
  const Var xs = transpose(reshape(x, {rows, groups, group}), 0, 1);
  const Var ws = reshape(permute(reshape(w, {blocks, groups, group, group}), {1, 3, 0, 2}),
                         {groups, group, blocks * group});
  const Var each = reshape(matmul(xs, ws), {groups, rows, blocks, group});
  const Var y = reshape(permute(each, {1, 2, 0, 3}), x.shape().with(-1, w.dim(0)));
  return b.defined() ? y + b : y;
}

Tensor detail::group_weight_gradient(const Tensor& dy, const Tensor& x, int groups) {
  const std::int64_t rows = x.dim(0), columns = x.dim(1), group = columns / groups;
  const Tensor dw = Tensor::empty({dy.dim(1), group}, dy.dtype(), dy.device());
  const auto in_groups = [&](const Tensor& part, std::array<int, 3> axes) {
    return part.reshape({rows, groups, group}).permute(axes);
  };
  for (std::int64_t first = 0; first < dy.dim(1); first += columns) {
    const Product product[] = {
        {in_groups(dy.slice(1, first, first + columns), {1, 2, 0}), in_groups(x, {1, 0, 2})}};
    const Tensor to = dw.slice(0, first, first + columns).reshape({groups, group, group});
    backend(dy.device()).matmul(to, product, false);
  }
  return dw;
}

}  // namespace tapeloop
