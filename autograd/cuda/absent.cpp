// SPDX-License-Identifier: MIT
// The CUDA backend of a build without CUDA: one clear error.
#include "autograd/backend.h"
#include "autograd/error.h"

namespace tapeloop {

const Backend& detail::cuda_backend() {
  fail("cuda", "this build of Tapeloop has no CUDA backend; keep the tensors on Device::cpu");
}

}  // namespace tapeloop
