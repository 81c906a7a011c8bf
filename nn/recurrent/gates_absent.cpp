// SPDX-License-Identifier: MIT
// The gates in a build without CUDA: nothing to register. Takes the place of gates.cu.
#include "tapeloop/nn/recurrent/gates.h"

namespace tapeloop::nn {

void GatesPage::register_cuda() {}

}  // namespace tapeloop::nn
