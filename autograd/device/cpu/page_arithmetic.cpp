// SPDX-License-Identifier: MIT
// The kernels of arithmetic (elementwise.h), for the instruction set of this file's compiler flags.
#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/formula/elementwise.h"

namespace tapeloop::cpu {

template <>
std::span<const PointwiseKernel* const> compiled_page<ArithmeticPage, isa::Native>() {
  return page_kernels<isa::Native>(ArithmeticPage{});
}

}  // namespace tapeloop::cpu
