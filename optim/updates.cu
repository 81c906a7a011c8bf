// SPDX-License-Identifier: MIT
// The CUDA kernels of the update rules (updates.h). No formula stands here.
#include "tapeloop/optim/updates.h"

#include "tapeloop/autograd/device/cuda/pointwise.cuh"

namespace tapeloop::optim {

void UpdatesPage::register_cuda() { cuda::register_page(UpdatesPage{}); }

}  // namespace tapeloop::optim
