// SPDX-License-Identifier: MIT
// What a program asks about the GPU. Works in every build: without CUDA there is simply none.
// Tensors and models go there by Device::cuda; nothing here moves data.
#pragma once

#include <cstddef>

namespace tapeloop::cuda {

// Whether tensors can be on Device::cuda: this build has the backend, and there is a GPU of compute capability 8.0 or above.
bool available();

// Products of float32 matrices by TF32: several times as fast, with 10 bits of mantissa. Off at the start.
void allow_tf32(bool allowed);

// Waits until everything asked of the GPU is done; for timing. Throws Error for a mistake found on the way, such as an index
// that was out of range.
void synchronize();

}  // namespace tapeloop::cuda
