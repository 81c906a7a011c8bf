// SPDX-License-Identifier: MIT
// The kernels of the gates (gates.h), for the instruction set of this file's compiler flags.
#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/nn/recurrent/gates.h"

namespace tapeloop::cpu {

template <>
std::span<const PointwiseKernel* const> compiled_page<nn::GatesPage, isa::Native>() {
  return page_kernels<isa::Native>(nn::GatesPage{});
}

}  // namespace tapeloop::cpu
