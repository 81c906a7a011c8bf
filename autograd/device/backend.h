// SPDX-License-Identifier: MIT
// What a device must provide: memory and a dozen kernels on tensors. Operations (ops.h) call these and never say which
// device it is. Kernels know no Var and no gradient; shapes were checked by the caller.
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

// A sequence of steps  z_t = zx_t + w h_{t-1},  h_t, c_t, ... = F(z_t, [h_{t-1}], c_{t-1}, ...), or, where `apart`,
// z_t = w h_{t-1} + bias and F(zx_t, z_t, ...). All tensors contiguous unless said otherwise.
struct RecurrentSequence {
  const PointwiseKernel* kernel;  // F, or its backward
  const void* functor;
  bool apart;
  bool takes_h;  // F has h_{t-1} among its arguments
  bool reverse;  // from the last time step to the first
  std::span<const std::int64_t>
      lengths;  // [N]; past them a sequence's state stands still. Empty: all run to the end
  Tensor zx;    // [T, N, G*H]
  Tensor w;     // [G*H, H], any strides
  Tensor z;     // [T, N, G*H], or [1, N, G*H] where nobody reads it later
  std::span<const Tensor> initial;  // parts of the state, h first: [N, H]
  std::span<const Tensor> states;   // after each step: [T, N, H], or [1, N, H] for all but h
};
struct RecurrentForward
    : RecurrentSequence {  // writes z and states; z may be zx itself unless apart
  Tensor bias;             // [G*H], or undefined
};
struct RecurrentBackward : RecurrentSequence {  // reads what forward left
  Tensor dhs;                                   // [T, N, H], or undefined: zero
  std::span<const Tensor> dstates;  // [N, H]: of the last state; becomes that of the initial state
  Tensor dz;                        // [T, N, G*H], written; may be z itself
  Tensor dzx;                       // the same for zx where apart; may be zx itself
  Tensor dh;  // [T, N, H], written with the whole gradient of each step's h; undefined: nobody asks
};

// Memory of a device that says which updates of parameters it has really made: from a mistake on (see targets() and norms())
// until the host is told, it makes none, while the host goes on asking.
class UpdatesMade {
 public:
  virtual ~UpdatesMade() = default;
  virtual UpdateNumber* place(std::size_t i) = 0;  // on the device, for PointwiseItem::made
  // All of them as they were when the host was told of a mistake, or when work was lost; empty where neither has happened
  // since settled().
  virtual PoolVector<UpdateNumber> told() const = 0;
  virtual void settled() = 0;
  // While it is held, no other thread asks the device for anything or is told of a mistake: from told() until what is counted
  // from there has been asked for.
  virtual std::unique_lock<std::recursive_mutex> hold() const = 0;
};

class Backend : public DeviceMemory {
 public:
  // Notes work and runs it again; null where the device cannot.
  virtual std::unique_ptr<Recording> new_recording() const { return nullptr; }

  // --- kernels; `to` is written, everything else is read ---
  // Rows whose products a weight's gradient adds up before it joins the others: the same for a sequence in parts and
  // whole, so that their bits are equal, where the backend's products have one order of summation.
  virtual std::int64_t gradient_rows() const = 0;
  virtual void pointwise(const PointwiseKernel& kernel, const void* functor, DType dtype,
                         const LoopPlan& plan) const = 0;
  // The same kernel for many items, such as the parameters of a model; no item reads what another one writes. On devices
  // other than the CPU nothing is done while a mistake stands that the host has not been told of.
  virtual void pointwise_each(const PointwiseKernel& kernel, DType dtype,
                              std::span<const PointwiseItem> items) const = 0;
  // The same for one item of any strides, whose operands are the plan's. Devices other than the CPU only.
  virtual void pointwise_update(const PointwiseKernel& kernel, DType dtype, const LoopPlan& plan,
                                const PointwiseItem& item) const = 0;
  // For `count` tensors, zeros at first; null on the CPU, where an update is made when it is asked for.
  virtual std::unique_ptr<UpdatesMade> new_updates_made(std::size_t count) const = 0;
  // Targets [...] int64 of a classification, any strides, as they can be looked up: known = target, 0 where it is
  // ignore_index; counted = 1, 0 there. A class outside 0..classes-1 is a mistake, told when the host next waits.
  // Devices other than the CPU only.
  virtual void targets(const Tensor& known, const Tensor& counted, const Tensor& target,
                       std::int64_t ignore_index, std::int64_t classes) const = 0;
  // to [n + 1] float64 = the Euclidean norm of each of n contiguous tensors, and that of all together. With `names`, which
  // stay for ever, one that is not finite is a mistake, told when the host next waits. Devices other than the CPU only.
  virtual void norms(const Tensor& to, std::span<const Tensor> from,
                     const std::vector<std::string>* names) const = 0;
  // to [B, M, N] contiguous = (accumulate ? to : 0) + the sum of the products, which may differ in K.
  virtual void matmul(const Tensor& to, std::span<const Product> products,
                      bool accumulate) const = 0;
  // to [M, N] contiguous = init + x w^T, with x [M, K], w [N, K] of any strides; init [M, N], any strides, undefined: 0.
  // A weight is used many times between two changes: what a device prepares from it may be kept with its memory.
  virtual void linear(const Tensor& to, const Tensor& x, const Tensor& w,
                      const Tensor& init) const = 0;
  virtual void recurrent_forward(const RecurrentForward& run) const = 0;
  virtual void recurrent_backward(const RecurrentBackward& run) const = 0;
  // `to` has the rank of `from`, and size 1 along the axes reduced. An empty sum is 0, an empty product 1.
  virtual void reduce(Reduction kind, const Tensor& to, const Tensor& from) const = 0;
  virtual void cumulative_sum(const Tensor& to, const Tensor& from, int axis) const = 0;
  // Index of the first largest element along the last axis; NaN counts as the largest. from [...,
  // N], N > 0; to [...] int64.
  virtual void argmax(const Tensor& to, const Tensor& from) const = 0;
  // Rows by number: to[i] = from[index[i]], and to[index[i]] += from[i]; to, from [rows, width], index [n] int64.
  virtual void take_rows(const Tensor& to, const Tensor& from, const Tensor& index) const = 0;
  virtual void add_rows(const Tensor& to, const Tensor& index, const Tensor& from) const = 0;
  // Elements by number along an axis: to[i][j] = from[i][index[i][j]] for axis 1; and its adjoint.
  virtual void gather(const Tensor& to, const Tensor& from, const Tensor& index,
                      int axis) const = 0;
  virtual void scatter_add(const Tensor& to, const Tensor& index, const Tensor& from,
                           int axis) const = 0;
  // Element i gets the i-th number of the counter-based stream (seed, first): the same on every device.
  virtual void uniform(const Tensor& to, std::uint64_t seed,
                       std::uint64_t first) const = 0;  // in [0, 1)
  virtual void normal(const Tensor& to, std::uint64_t seed, std::uint64_t first) const = 0;
};

// The backend of a device. Throws Error for cuda when this build has none, or there is no GPU.
const Backend& backend(Device device);

namespace detail {
const Backend& cpu_backend();
const Backend& cuda_backend();  // autograd/cuda
}  // namespace detail

}  // namespace tapeloop
