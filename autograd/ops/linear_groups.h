// SPDX-License-Identifier: MIT
// linear() in groups: a product with a block-diagonal weight that is stored without its zeros, such
// as that of the heads of a cell.
#pragma once

#include "tapeloop/autograd/ops/ops.h"

namespace tapeloop {

// y = w x + b with w [B * I, I / groups]; x [.., I] -> y [.., B * I]. The I rows of each of the B
// blocks of w are divided into groups as the columns of x are. A row reads the columns of its own
// group. b broadcasts to y, or is undefined. Throws if the sizes do not fit. Cost: that of the
// smaller weight, and copies of w and of y. Saves x and w.
Var linear_groups(const Var& x, const Var& w, int groups, const Var& b = Var());

namespace detail {
// The gradient of w: dw [O, I / groups], for dy [R, O], x [R, I].
Tensor group_weight_gradient(const Tensor& dy, const Tensor& x, int groups);
}  // namespace detail

}  // namespace tapeloop
