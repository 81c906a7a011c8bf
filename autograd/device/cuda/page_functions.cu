// SPDX-License-Identifier: MIT
// The CUDA kernels of elementary functions and activations (elementwise.h). No formula stands here.
#include "tapeloop/autograd/device/cuda/pointwise.cuh"
#include "tapeloop/autograd/formula/elementwise.h"

namespace tapeloop {

void FunctionPage::register_cuda() { cuda::register_page(FunctionPage{}); }

}  // namespace tapeloop
