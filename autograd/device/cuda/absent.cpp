// SPDX-License-Identifier: MIT
// The CUDA backend of a build without CUDA: its use throws one clear error.
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/device/cuda/cuda.h"
#include "tapeloop/autograd/device/graph_capture.h"
#include "tapeloop/autograd/tensor/device_memory.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

[[noreturn]] static void fail_without_cuda() {
  fail("cuda",
       "this build of Tapeloop has no CUDA backend: nvcc was not found, or was left out, when it "
       "was configured; install the CUDA toolkit, 12 or later, and build again after ./dev clean, "
       "or install again by ./dev install PREFIX; or keep the tensors on Device::cpu");
}

const Backend& detail::cuda_backend() { fail_without_cuda(); }
const DeviceMemory& detail::cuda_memory() { fail_without_cuda(); }
std::unique_ptr<GraphCapture> detail::new_cuda_capture() { fail_without_cuda(); }

bool cuda::available() { return false; }
void cuda::allow_tf32(bool) {}
void cuda::set_recurrent_form(RecurrentForm) { fail_without_cuda(); }
cuda::RecurrentForm cuda::recurrent_form() { return RecurrentForm::automatic; }
cuda::RecurrentForm cuda::last_recurrent_form() { return RecurrentForm::automatic; }
void cuda::use_recurrent_times(const std::string&) { fail_without_cuda(); }
void cuda::synchronize() {}

}  // namespace tapeloop
