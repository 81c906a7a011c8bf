// SPDX-License-Identifier: MIT
// The kernels of the CUDA backend, by file. All functions enqueue work and do not wait. The
// arguments are those of autograd/device/backend.h, on the device.
#pragma once

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/device/cuda/registry.h"

namespace tapeloop::cuda {

struct RecurrentForward;  // recurrent/sequence.h
struct RecurrentBackward;

// fill.cu
void copy(const Tensor& to, const Tensor& from);  // both on the device
void fill(const Tensor& to, double value);
void uniform(const Tensor& to, std::uint64_t seed, std::uint64_t first);
void normal(const Tensor& to, std::uint64_t seed, std::uint64_t first);
// index.cu
void cumulative_sum(const Tensor& to, const Tensor& from, int axis);
void argmax(const Tensor& to, const Tensor& from);
void take_rows(const Tensor& to, const Tensor& from, const Tensor& index, bool gaps);
void add_rows(const Tensor& to, const Tensor& index, const Tensor& from);
void gather(const Tensor& to, const Tensor& from, const Tensor& index, int axis);
void scatter_add(const Tensor& to, const Tensor& index, const Tensor& from, int axis);
void targets(const Tensor& known, const Tensor& counted, const Tensor& target,
             std::int64_t ignore_index, std::int64_t classes);
// reduce.cu
void reduce(Reduction kind, const Tensor& to, const Tensor& from);
// scan.cu
void scan(const ScanRun& scan);
// each.cpp
void pointwise_each(const PointwiseKernel& kernel, DType dtype,
                    std::span<const PointwiseItem> items, GraphCapture* rerun);
// norms.cu
void norms(const Tensor& to, std::span<const Tensor> from, std::span<const std::string_view> names);
// gemm.cpp
void allow_tf32(bool allowed);
void matmul(const Tensor& to, std::span<const Product> products, bool accumulate);
void linear(const Tensor& to, const Tensor& x, const Tensor& w, const Tensor& init);
// to = (accumulate ? to : 0) + x w for `rows` rows. Rows of `to` are to_row elements apart, rows of
// x x_row elements. w [K, N] has any strides.
template <class T>
void multiply_rows(T* to, std::int64_t to_row, const T* x, std::int64_t x_row, std::int64_t rows,
                   const Tensor& w, bool accumulate);
// recurrent/persistent.cu: the whole sequence in one launch. Returns false, and does nothing, if
// the plan has another form.
bool persistent_forward(const RecurrentForward& run);
bool persistent_backward(const RecurrentBackward& run);
// Notes that a run alternates because it is no plain batch of sequences. Throws if `may_refuse` and
// set_recurrent_form() asked for one launch.
void decline_persistent(const StepLayout& step, bool may_refuse);
// recurrent/levels.cu
void run_levels(const LevelForward& run);
void run_levels(const LevelBackward& run);

}  // namespace tapeloop::cuda
