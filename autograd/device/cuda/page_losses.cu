// SPDX-License-Identifier: MIT
// The CUDA kernels of losses and parts of structured operations (elementwise.h). No formula stands here.
#include "tapeloop/autograd/device/cuda/pointwise.cuh"
#include "tapeloop/autograd/formula/elementwise.h"

namespace tapeloop {

void LossPage::register_cuda() { cuda::register_page(LossPage{}); }

}  // namespace tapeloop
