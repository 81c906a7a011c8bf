// SPDX-License-Identifier: MIT
// The CUDA kernels of losses and parts of structured operations (elementwise.h). No formula stands here.
#include "autograd/cuda/pointwise.cuh"
#include "autograd/elementwise.h"

namespace tapeloop {

void LossPage::register_cuda() { cuda::register_page(LossPage{}); }

}  // namespace tapeloop
