// SPDX-License-Identifier: MIT
// The CUDA kernels of the gates (gates.h). No formula stands here.
#include "tapeloop/nn/recurrent/gates.h"

#include "tapeloop/autograd/device/cuda/recurrent/recurrent.cuh"

namespace tapeloop::nn {

void GatesPage::register_cuda() {
  cuda::register_page(GatesPage{});
  register_recurrent<ElmanTanh>();
  register_recurrent<ElmanRelu>();
  register_recurrent<LstmGates>();
  register_recurrent<GruGates>();
}

}  // namespace tapeloop::nn
