// SPDX-License-Identifier: MIT
// The CUDA kernels of arithmetic (elementwise.h). No formula stands here.
#include "autograd/cuda/pointwise.cuh"
#include "autograd/elementwise.h"

namespace tapeloop {

void ArithmeticPage::register_cuda() { cuda::register_page(ArithmeticPage{}); }

}  // namespace tapeloop
