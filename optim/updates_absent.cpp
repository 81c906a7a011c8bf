// SPDX-License-Identifier: MIT
// The update rules in a build without CUDA: nothing to register. Takes the place of updates.cu.
#include "tapeloop/optim/updates.h"

namespace tapeloop::optim {

void UpdatesPage::register_cuda() {}

}  // namespace tapeloop::optim
