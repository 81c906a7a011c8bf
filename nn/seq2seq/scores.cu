// SPDX-License-Identifier: MIT
// The CUDA kernels of the attention scores (scores.h). No formula stands here.
#include "tapeloop/nn/seq2seq/scores.h"

#include "tapeloop/autograd/device/cuda/pointwise.cuh"

namespace tapeloop::nn {

void ScoresPage::register_cuda() { cuda::register_page(ScoresPage{}); }

}  // namespace tapeloop::nn
