// SPDX-License-Identifier: MIT
// The kernels of the gates (gates.h), for the instruction set of this file's compiler flags.
#include "autograd/cpu/kernels.h"
#include "nn/gates.h"

namespace tapeloop::cpu {

template <>
std::span<const PointwiseKernel* const> compiled_page<nn::GatesPage, isa::Native>() {
  return page_kernels<isa::Native>(nn::GatesPage{});
}

}  // namespace tapeloop::cpu
