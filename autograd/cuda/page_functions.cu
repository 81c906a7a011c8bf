// SPDX-License-Identifier: MIT
// The CUDA kernels of elementary functions and activations (elementwise.h). No formula stands here.
#include "autograd/cuda/pointwise.cuh"
#include "autograd/elementwise.h"

namespace tapeloop {

void FunctionPage::register_cuda() { cuda::register_page(FunctionPage{}); }

}  // namespace tapeloop
