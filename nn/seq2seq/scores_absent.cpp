// SPDX-License-Identifier: MIT
// The attention scores in a build without CUDA: nothing to register. Takes the place of scores.cu.
#include "tapeloop/nn/seq2seq/scores.h"

namespace tapeloop::nn {

void ScoresPage::register_cuda() {}

}  // namespace tapeloop::nn
