// SPDX-License-Identifier: MIT
// The CUDA kernels of the attention scores (scores.h). No formula stands here.
#include "nn/scores.h"

#include "autograd/cuda/pointwise.cuh"

namespace tapeloop::nn {

void ScoresPage::register_cuda() { cuda::register_page(ScoresPage{}); }

}  // namespace tapeloop::nn
