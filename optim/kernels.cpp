// SPDX-License-Identifier: MIT
// The SIMD kernels of the update rules, for the instruction set of this file's compiler flags.
// The choice among instruction sets is made in optimizer.cpp.
#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/optim/updates.h"

namespace tapeloop::cpu {

template <>
std::span<const PointwiseKernel* const> compiled_page<optim::UpdatesPage, isa::Native>() {
  return page_kernels<isa::Native>(optim::UpdatesPage{});
}

}  // namespace tapeloop::cpu
