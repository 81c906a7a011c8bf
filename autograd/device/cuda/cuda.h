// SPDX-License-Identifier: MIT
// Questions to the GPU and settings for it. In a build without CUDA available() is false. Moves no
// data: tensors and models move by Device::cuda.
// A process uses one GPU, device 0 of the CUDA runtime; the environment variable
// CUDA_VISIBLE_DEVICES=N makes another one device 0. Work of a thread that has called
// cudaSetDevice() for another device throws Error.
#pragma once

#include <cstddef>

namespace tapeloop::cuda {

// Returns whether tensors can be on Device::cuda: this build has the backend, and there is a GPU of
// compute capability 8.0 or above.
bool available();

// Lets products of float32 matrices use TF32: several times as fast, with 10 bits of mantissa. Off
// by default.
void allow_tf32(bool allowed);

// How recurrent() runs a sequence.
//   alternating: a product by cuBLAS and one kernel for the formula, in turn, for each time step
//   persistent:  one launch for the whole sequence; the recurrent weights stay in shared memory,
//                and blocks exchange h through L2
//   cluster:     the same within clusters of at most 8 blocks, which write h into each other's
//                shared memory; from compute capability 9.0 on
enum class RecurrentForm { automatic, alternating, persistent, cluster };
// Sets the form, for tests and benchmarks. The default, automatic, takes the form with the best
// estimate for the shape, if the GPU has room for it. With any other form recurrent() throws Error,
// with the reason, if that form is not possible for the shape, for the GPU, or for a formula
// without such a kernel (register_recurrent). Tape::backward throws Error if the sequence fits the
// form but its gradient, which needs more memory on chip, does not. The backward pass of a tape
// that looks inside (TapeOptions) always alternates. A build without CUDA throws Error here.
void set_recurrent_form(RecurrentForm form);
RecurrentForm recurrent_form();  // the form that was set
// The form of the last sequence that any thread ran, or of the gradient of one.
RecurrentForm last_recurrent_form();

// Waits until the GPU has done all work; for timing. Throws Error for a mistake that the GPU found,
// such as an index out of range.
void synchronize();

}  // namespace tapeloop::cuda
