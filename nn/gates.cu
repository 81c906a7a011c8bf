// SPDX-License-Identifier: MIT
// The CUDA kernels of the gates (gates.h). No formula stands here.
#include "nn/gates.h"

#include "autograd/cuda/pointwise.cuh"

namespace tapeloop::nn {

void GatesPage::register_cuda() { cuda::register_page(GatesPage{}); }

}  // namespace tapeloop::nn
