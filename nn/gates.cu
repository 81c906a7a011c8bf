// SPDX-License-Identifier: MIT
// The CUDA kernels of the gates (gates.h). No formula stands here.
#include "nn/gates.h"

#include "autograd/cuda/recurrent.cuh"

namespace tapeloop::nn {

void GatesPage::register_cuda() {
  cuda::register_page(GatesPage{});
  register_recurrent<ElmanTanh>();
  register_recurrent<ElmanRelu>();
  register_recurrent<LstmGates>();
  register_recurrent<GruGates>();
}

}  // namespace tapeloop::nn
