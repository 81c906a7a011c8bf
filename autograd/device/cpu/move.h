// SPDX-License-Identifier: MIT
// Moves elements on the CPU: copies between any strides and types, rows and elements by index,
// running sums. Uses no SIMD beyond memcpy and the compiler's own.
#pragma once

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::cpu {

void copy(const Tensor& to, const Tensor& from);
void fill(const Tensor& to, double value);
void cumulative_sum(const Tensor& to, const Tensor& from, int axis);
void argmax(const Tensor& to, const Tensor& from);
void take_rows(const Tensor& to, const Tensor& from, const Tensor& index);
void add_rows(const Tensor& to, const Tensor& index, const Tensor& from);
void gather(const Tensor& to, const Tensor& from, const Tensor& index, int axis);
void scatter_add(const Tensor& to, const Tensor& index, const Tensor& from, int axis);

}  // namespace tapeloop::cpu
