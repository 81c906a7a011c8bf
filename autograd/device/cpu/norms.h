// SPDX-License-Identifier: MIT
// Loops of the CPU over whole tensors: norms of gradients, and targets of a classification. The
// arguments are those of autograd/device/backend.h.
#pragma once

#include <span>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::cpu {

void norms(const Tensor& to, std::span<const Tensor> from);
bool targets(const Tensor& known, const Tensor& counted, const Tensor& target,
             std::int64_t ignore_index, std::int64_t classes);

}  // namespace tapeloop::cpu
