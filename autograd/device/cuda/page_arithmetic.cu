// SPDX-License-Identifier: MIT
// The CUDA kernels of arithmetic (elementwise.h). No formula stands here.
#include "tapeloop/autograd/device/cuda/pointwise.cuh"
#include "tapeloop/autograd/formula/elementwise.h"

namespace tapeloop {

void ArithmeticPage::register_cuda() { cuda::register_page(ArithmeticPage{}); }

}  // namespace tapeloop
