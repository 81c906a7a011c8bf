// SPDX-License-Identifier: MIT
// Loops of the CPU over whole tensors, without SIMD beyond memcpy and the compiler's own. The
// arguments are those of autograd/device/backend.h.
#pragma once

#include <span>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::cpu {

// --- copies between any strides and types, rows and elements by index (move.cpp) ---
void copy(const Tensor& to, const Tensor& from);
void fill(const Tensor& to, double value);
void cumulative_sum(const Tensor& to, const Tensor& from, int axis);
void argmax(const Tensor& to, const Tensor& from);
void take_rows(const Tensor& to, const Tensor& from, const Tensor& index, bool gaps);
void add_rows(const Tensor& to, const Tensor& index, const Tensor& from);
void gather(const Tensor& to, const Tensor& from, const Tensor& index, int axis);
void scatter_add(const Tensor& to, const Tensor& index, const Tensor& from, int axis);

// --- norms of gradients, targets of a classification (norms.cpp) ---
void norms(const Tensor& to, std::span<const Tensor> from);
bool targets(const Tensor& known, const Tensor& counted, const Tensor& target,
             std::int64_t ignore_index, std::int64_t classes);

}  // namespace tapeloop::cpu
