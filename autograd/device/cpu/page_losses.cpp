// SPDX-License-Identifier: MIT
// The kernels of losses and parts of structured operations (elementwise.h), for the instruction set of this file's compiler flags.
#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/formula/elementwise.h"

namespace tapeloop::cpu {

template <>
std::span<const PointwiseKernel* const> compiled_page<LossPage, isa::Native>() {
  return page_kernels<isa::Native>(LossPage{});
}

}  // namespace tapeloop::cpu
