// SPDX-License-Identifier: MIT
// Backend: the kernels that every device has. Operations (ops.h) call the backend of their tensors'
// device and do not know which one it is. Kernels know no Var and no gradient; the caller checks
// the shapes. Memory (device_memory.h) and graph capture (graph_capture.h) are interfaces of their
// own.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tapeloop/autograd/device/level_run.h"
#include "tapeloop/autograd/device/scan_run.h"
#include "tapeloop/autograd/formula/kernel.h"
#include "tapeloop/autograd/number/reduction.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

class GraphCapture;

struct Product {  // a [B, M, K] times b [B, K, N]
  Tensor a;
  Tensor b;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // --- kernels; `to` is written, everything else is read ---
  virtual void pointwise(const PointwiseKernel& kernel, const void* functor, DType dtype,
                         const LoopPlan& plan) const = 0;
  // Runs the kernel for many items, such as the parameters of a model. No item may read what
  // another one writes. Throws before any work if the device has no such kernel, also if there are
  // no items. After a mistake (see mistakes()) a device changes nothing until the host
  // has thrown it. `rerun`: the call repeats a call of that graph's capture; the device then only
  // stores the items for the graph's next run.
  virtual void pointwise_each(const PointwiseKernel& kernel, DType dtype,
                              std::span<const PointwiseItem> items, GraphCapture* rerun) const = 0;
  // Prepares the targets [...] int64 of a classification, any strides:
  //   known = target, counted = 1;   if target == ignore_index: known = 0, counted = 0.
  // A class outside 0..classes-1 is a mistake. Returns true if the host knows that all targets
  // count.
  virtual bool targets(const Tensor& known, const Tensor& counted, const Tensor& target,
                       std::int64_t ignore_index, std::int64_t classes) const = 0;
  // to [n + 1] float64 = the Euclidean norm of each of n contiguous tensors, and that of all
  // together. `names` is empty or [n]. If there are names and the host cannot read `to`, a norm
  // that is not finite is a mistake; its message has the name.
  virtual void norms(const Tensor& to, std::span<const Tensor> from,
                     std::span<const std::string_view> names) const = 0;
  // to [B, M, N] contiguous = (accumulate ? to : 0) + sum of the products, which may differ in K.
  virtual void matmul(const Tensor& to, std::span<const Product> products,
                      bool accumulate) const = 0;
  // to [M, N] contiguous = init + x w^T, with x [M, K], w [N, K], init [M, N] of any strides; an
  // undefined init is 0. A weight is used many times between two changes, so a device may keep data
  // that it made from w, such as a packed copy, with the memory of w.
  virtual void linear(const Tensor& to, const Tensor& x, const Tensor& w,
                      const Tensor& init) const = 0;
  // The steps of a recurrence over a schedule, forwards and backwards: level_run.h.
  virtual void run_levels(const LevelForward& run) const = 0;
  virtual void run_levels(const LevelBackward& run) const = 0;
  // `to` has the rank of `from`, with size 1 along reduced axes. An empty sum is 0, an empty
  // product 1.
  virtual void reduce(Reduction kind, const Tensor& to, const Tensor& from) const = 0;
  virtual void cumulative_sum(const Tensor& to, const Tensor& from, int axis) const = 0;
  // Index of the first largest element along the last axis; NaN counts as the largest. from [...,
  // N], N > 0; to [...] int64.
  virtual void argmax(const Tensor& to, const Tensor& from) const = 0;
  // Rows by index: to[i] = from[index[i]], and to[index[i]] += from[i]. to, from [rows, width],
  // index [n] int64. `gaps`: for an index of -1 to[i] is 0.
  virtual void take_rows(const Tensor& to, const Tensor& from, const Tensor& index,
                         bool gaps) const = 0;
  virtual void add_rows(const Tensor& to, const Tensor& index, const Tensor& from) const = 0;
  // Elements by index along an axis. For axis 1: to[i][j] = from[i][index[i][j]], and
  // to[i][index[i][j]] += from[i][j].
  virtual void gather(const Tensor& to, const Tensor& from, const Tensor& index,
                      int axis) const = 0;
  virtual void scatter_add(const Tensor& to, const Tensor& index, const Tensor& from,
                           int axis) const = 0;
  // Element i gets number first + i of the counter-based stream `seed`, the same one on every
  // device. Uniform numbers are in [0, 1).
  virtual void uniform(const Tensor& to, std::uint64_t seed, std::uint64_t first) const = 0;
  virtual void normal(const Tensor& to, std::uint64_t seed, std::uint64_t first) const = 0;

  // --- facts ---
  // The least number of rows of one block in a weight gradient; a block is whole time steps. If the
  // backend's products have one order of summation, a sequence in segments of whole blocks gives
  // the same bits as the whole sequence.
  virtual std::int64_t gradient_rows() const = 0;
  // How many bytes linear() and the recurrent kernels keep beside w [N, K].
  virtual std::int64_t kept_bytes(const Tensor& w) const = 0;
  // How often the host has thrown a mistake that only the device saw, such as a wrong index.
  // The CPU throws its mistakes before any work, and returns 0. A device skips the items of
  // pointwise_each() between a mistake and the host's next wait, which throws it. So the owner of
  // updated tensors stops when this number has changed.
  virtual std::uint64_t mistakes() const = 0;

  // h_t = a_t h_(t-1) + b_t over time: scan_run.h.
  virtual void scan(const ScanRun& run) const = 0;
};

// The backend of a device. Throws Error for cuda if this build has no CUDA, or there is no GPU.
const Backend& backend(Device device);

namespace detail {
const Backend& cpu_backend();
const Backend& cuda_backend();  // autograd/device/cuda
}  // namespace detail

}  // namespace tapeloop
