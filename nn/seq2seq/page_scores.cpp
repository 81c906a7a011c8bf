// SPDX-License-Identifier: MIT
// The kernels of the attention scores (scores.h), for the instruction set of this file's compiler flags.
#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/nn/seq2seq/scores.h"

namespace tapeloop::cpu {

template <>
std::span<const PointwiseKernel* const> compiled_page<nn::ScoresPage, isa::Native>() {
  return page_kernels<isa::Native>(nn::ScoresPage{});
}

}  // namespace tapeloop::cpu
