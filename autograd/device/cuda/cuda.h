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

// How recurrent() runs a sequence.
//   alternating: a product by cuBLAS and one kernel for the formula, in turn, for each step
//   persistent:  one launch for the whole sequence; the recurrent weights stay in shared memory, blocks exchange h through L2
//   cluster:     the same within clusters of at most 8 blocks, which write h into each other's shared memory; from
//                compute capability 9.0 on
enum class RecurrentForm { automatic, alternating, persistent, cluster };
// For tests and benchmarks. automatic, the default, takes the one that is estimated to be fastest for the shape among those
// that the GPU has room for. Where another is set that cannot be had, for the shape, the GPU, or a formula without such a kernel
// (register_recurrent), recurrent() throws Error and says why; so does Tape::backward, where the sequence fits the form and its
// gradient does not, as it needs more memory on chip. The backward pass of a tape that looks inside alternates anyway.
void set_recurrent_form(RecurrentForm form);
RecurrentForm recurrent_form();  // as set
RecurrentForm
last_recurrent_form();  // that the last sequence of this thread, or its gradient, ran in

// Waits until everything asked of the GPU is done; for timing. Throws Error for a mistake found on the way, such as an index
// that was out of range.
void synchronize();

}  // namespace tapeloop::cuda
