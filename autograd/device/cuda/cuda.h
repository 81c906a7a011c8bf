// SPDX-License-Identifier: MIT
// Questions to the GPU and settings for it. In a build without CUDA available() is false. Moves no
// data: tensors and models move by Device::cuda.
// A process uses one GPU, device 0 of the CUDA runtime; the environment variable
// CUDA_VISIBLE_DEVICES=N makes another one device 0. Work of a thread that has called
// cudaSetDevice() for another device throws Error.
#pragma once

#include <string>

namespace tapeloop::cuda {

// Returns whether tensors can be on Device::cuda: this build has the backend, and there is a GPU of
// compute capability 8.0 or above.
bool available();

// Lets products of float32 matrices use TF32: several times as fast, with 10 bits of mantissa. Off
// by default.
void allow_tf32(bool allowed);

// How recurrent() runs a sequence.
//   alternating: a product by cuBLAS and one kernel for the formula, in turn, for each time step
//   persistent:  one launch for the whole sequence, in float32; the recurrent weights stay in
//                shared memory, and blocks exchange h through L2
enum class RecurrentForm { automatic, alternating, persistent };
// Sets the form, for tests and benchmarks. The default, automatic, takes the persistent form if the
// shape fits and the GPU has room. If persistent was asked for, recurrent() throws Error, with the
// reason, if that form is not possible for the shape, for the GPU, for float64, or for a formula
// without such a kernel (register_recurrent). Tape::backward throws Error if the sequence fits the
// form but its gradient, which needs more memory on chip, does not. The backward pass of a tape
// that looks inside (TapeOptions) always alternates. A build without CUDA throws Error here.
void set_recurrent_form(RecurrentForm form);
RecurrentForm recurrent_form();  // the form that was set
// The form of the last sequence that any thread ran, or of the gradient of one.
RecurrentForm last_recurrent_form();
// From now on, automatic takes the fastest form of each shape that this file has. `gpu_bench
// --times FILE` measures a GPU and writes it. "": no file. Throws Error for a file that it cannot
// read. A build without CUDA throws Error.
void use_recurrent_times(const std::string& file);

// Waits until the GPU has done all work; for timing. Throws Error for a mistake that the GPU found,
// such as an index out of range.
void synchronize();

}  // namespace tapeloop::cuda
