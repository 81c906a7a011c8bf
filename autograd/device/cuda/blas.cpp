// SPDX-License-Identifier: MIT
// Loads cuBLAS at the first use of the GPU. gemm.cpp calls it. The emulation has its own.
#include <dlfcn.h>

#include <string>

#include "tapeloop/autograd/device/cuda/gpu.cuh"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::cuda {
namespace {

template <class Function>
Function find(void* library, const char* name) {
  void* const found = dlsym(library, name);
  if (found == nullptr)
    fail("cuda",
         std::string("cuBLAS has no ") + name + "; install the cuBLAS of this version of CUDA");
  return reinterpret_cast<Function>(found);
}

Blas load() {
  const std::string name = "libcublas.so." + std::to_string(CUBLAS_VER_MAJOR);
  void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    fail("cuda", name + " cannot be loaded (" + dlerror() +
                     "); install CUDA's cuBLAS, or name its folder in LD_LIBRARY_PATH");
  }
  return {find<decltype(Blas::create)>(library, "cublasCreate_v2"),
          find<decltype(Blas::destroy)>(library, "cublasDestroy_v2"),
          find<decltype(Blas::set_stream)>(library, "cublasSetStream_v2"),
          find<decltype(Blas::set_workspace)>(library, "cublasSetWorkspace_v2"),
          find<decltype(Blas::gemm)>(library, "cublasGemmEx"),
          find<decltype(Blas::gemm_batched)>(library, "cublasGemmStridedBatchedEx"),
          find<decltype(Blas::status)>(library, "cublasGetStatusString")};
}

}  // namespace

const Blas& blas() {
  static const Blas kBlas = load();
  return kBlas;
}

}  // namespace tapeloop::cuda
