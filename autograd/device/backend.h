// SPDX-License-Identifier: MIT
// Backend: what each device implements: memory and kernels on tensors. Operations (ops.h) call a
// backend and do not know the device. Kernels know no Var and no gradient; the caller checks the
// shapes.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/device/recording.h"
#include "tapeloop/autograd/formula/kernel.h"
#include "tapeloop/autograd/number/reduction.h"
#include "tapeloop/autograd/tensor/device_memory.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

struct Product {  // a [B, M, K] times b [B, K, N]
  Tensor a;
  Tensor b;
};

// A sequence of time steps:
//   z_t = zx_t + w h_{t-1}     h_t, c_t, ... = F(z_t, [h_{t-1}], c_{t-1}, ...)
// or, if `apart`:
//   z_t = w h_{t-1} + bias     h_t, c_t, ... = F(zx_t, z_t, [h_{t-1}], c_{t-1}, ...)
// T time steps, N batch, H hidden size, G gates. Tensors are contiguous, except where a comment
// allows any strides.
struct RecurrentSequence {
  const PointwiseKernel* kernel;  // F, or its backward
  const void* functor;
  bool apart;
  bool takes_h;  // F has h_{t-1} among its arguments
  bool reverse;  // from the last time step to the first
  // [N]: after its length, the state of a sequence does not change. Empty: all run to the end.
  std::span<const std::int64_t> lengths;
  Tensor zx;                        // [T, N, G*H]
  Tensor w;                         // [G*H, H], any strides
  Tensor z;                         // [T, N, G*H], or [1, N, G*H] if the values are not kept
  std::span<const Tensor> initial;  // parts of the initial state, h first: [N, H]
  std::span<const Tensor> states;   // after each step: [T, N, H], or [1, N, H] for all but h
};
// Writes z and states. z may be zx itself unless `apart`.
struct RecurrentForward : RecurrentSequence {
  Tensor bias;  // [G*H], or undefined
};
// Reads the z and states of the forward pass.
struct RecurrentBackward : RecurrentSequence {
  Tensor dhs;                       // [T, N, H], or undefined: zero
  std::span<const Tensor> dstates;  // [N, H]; in: of the last state, out: of the initial state
  Tensor dz;                        // [T, N, G*H], out; may be z itself
  Tensor dzx;                       // the same for zx, if `apart`; may be zx itself
  Tensor dh;                        // [T, N, H], out: the whole gradient of each h_t; or undefined
};

// Memory of a device with the numbers of the parameter updates that the device has made. After an
// error (see targets() and norms()), the device skips updates until the host has thrown the error.
// Meanwhile the host may launch more updates.
class UpdatesMade {
 public:
  virtual ~UpdatesMade() = default;
  virtual UpdateNumber* place(std::size_t i) = 0;  // on the device, for PointwiseItem::made
  // The numbers at the time when the host read an error, or when work was lost. Empty if neither
  // has happened since settled().
  virtual PoolVector<UpdateNumber> told() const = 0;
  // The owner calls this when it has subtracted the skipped updates. Then told() is empty again.
  virtual void settled() = 0;
  // While the lock is held, no other thread can use the device or read an error. Hold it from
  // told() until the updates that are counted from its result have been launched.
  virtual std::unique_lock<std::recursive_mutex> hold() const = 0;
};

class Backend : public DeviceMemory {
 public:
  // An object that captures work and runs it again; null if the device cannot do this.
  virtual std::unique_ptr<Recording> new_recording() const { return nullptr; }

  // --- kernels; `to` is written, everything else is read ---
  // The least number of rows of one block in a weight gradient; a block is whole time steps. If the
  // backend's products have one order of summation, a sequence in segments of whole blocks gives
  // the same bits as the whole sequence.
  virtual std::int64_t gradient_rows() const = 0;
  virtual void pointwise(const PointwiseKernel& kernel, const void* functor, DType dtype,
                         const LoopPlan& plan) const = 0;
  // Runs the kernel for many items, such as the parameters of a model. No item may read what
  // another one writes. Devices other than the CPU do nothing after an error until the host has
  // thrown it.
  virtual void pointwise_each(const PointwiseKernel& kernel, DType dtype,
                              std::span<const PointwiseItem> items) const = 0;
  // The same for one item whose operands have any strides: those of `plan`. Devices other than the
  // CPU only.
  virtual void pointwise_update(const PointwiseKernel& kernel, DType dtype, const LoopPlan& plan,
                                const PointwiseItem& item) const = 0;
  // For `count` tensors, with all numbers 0. Null on the CPU, which makes each update at once.
  virtual std::unique_ptr<UpdatesMade> new_updates_made(std::size_t count) const = 0;
  // Prepares the targets [...] int64 of a classification, any strides:
  //   known = target, counted = 1;   if target == ignore_index: known = 0, counted = 0.
  // A class outside 0..classes-1 is an error, which is thrown when the host next waits. Devices
  // other than the CPU only.
  virtual void targets(const Tensor& known, const Tensor& counted, const Tensor& target,
                       std::int64_t ignore_index, std::int64_t classes) const = 0;
  // to [n + 1] float64 = the Euclidean norm of each of n contiguous tensors, and that of all
  // together. If `names` is not null, a norm that is not finite is an error, which is thrown when
  // the host next waits. `names` must live for ever. Devices other than the CPU only.
  virtual void norms(const Tensor& to, std::span<const Tensor> from,
                     const std::vector<std::string>* names) const = 0;
  // to [B, M, N] contiguous = (accumulate ? to : 0) + sum of the products, which may differ in K.
  virtual void matmul(const Tensor& to, std::span<const Product> products,
                      bool accumulate) const = 0;
  // to [M, N] contiguous = init + x w^T, with x [M, K], w [N, K], init [M, N] of any strides; an
  // undefined init is 0. A weight is used many times between two changes, so a device may keep data
  // that it made from w, such as a packed copy, with the memory of w.
  virtual void linear(const Tensor& to, const Tensor& x, const Tensor& w,
                      const Tensor& init) const = 0;
  virtual void recurrent_forward(const RecurrentForward& run) const = 0;
  virtual void recurrent_backward(const RecurrentBackward& run) const = 0;
  // `to` has the rank of `from`, with size 1 along reduced axes. An empty sum is 0, an empty
  // product 1.
  virtual void reduce(Reduction kind, const Tensor& to, const Tensor& from) const = 0;
  virtual void cumulative_sum(const Tensor& to, const Tensor& from, int axis) const = 0;
  // Index of the first largest element along the last axis; NaN counts as the largest. from [...,
  // N], N > 0; to [...] int64.
  virtual void argmax(const Tensor& to, const Tensor& from) const = 0;
  // Rows by index: to[i] = from[index[i]], and to[index[i]] += from[i]. to, from [rows, width],
  // index [n] int64.
  virtual void take_rows(const Tensor& to, const Tensor& from, const Tensor& index) const = 0;
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
};

// The backend of a device. Throws Error for cuda if this build has no CUDA, or there is no GPU.
const Backend& backend(Device device);

namespace detail {
const Backend& cpu_backend();
const Backend& cuda_backend();  // autograd/device/cuda
}  // namespace detail

}  // namespace tapeloop
