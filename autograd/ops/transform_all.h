// SPDX-License-Identifier: MIT
// TransformAll: formulas on the tensors of many parameters, with one launch for all of them on a
// GPU. Records nothing and keeps no tensor alive.
#pragma once

#include <initializer_list>

#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

// Counts how often a tensor was updated. The owner of the tensor keeps it, TransformAll counts.
struct UpdateCount {
  std::int64_t updates = 0;
  // Updates that were launched on a device, which may have skipped some (UpdatesMade in backend.h).
  std::int64_t asked = 0;
};

// transform() for many sets of tensors; no set may read a tensor that another set writes:
//   TransformAll all;
//   for (...) all.add(rule::Sgd{...}, {p, g}, {p});
//   all.run();
// On the CPU add() does the work at once. On another device add() only queues it, and run() makes
// one launch for all sets with the same formula and element type; tensors must live until then.
// There an input with a single element is repeated for all elements. A set with a tensor that is
// not contiguous has a launch of its own. After an error on the device, such as a target that is
// not a class, the device skips these updates until the host has seen the error. No heap
// allocation in the steady state.
class TransformAll {
 public:
  template <class F>
  void add(const F& functor, std::initializer_list<Tensor> inputs,
           std::initializer_list<Tensor> outputs) {
    add(pointwise_kernel<F>(), detail::FormulaBytes(functor), {inputs.begin(), inputs.size()},
        {outputs.begin(), outputs.size()});
  }
  void add(const PointwiseKernel& kernel, const detail::FormulaBytes& functor,
           std::span<const Tensor> inputs, std::span<const Tensor> outputs);
  void run();
  std::int64_t added() const { return added_; }  // number of calls of add()
  std::int64_t asked() const { return asked_; }  // counted updates that run() launched on a device

  // The next add() is an update for `count`, which is incremented when the update is done or
  // launched. On a GPU the update writes its number to `made`, in device memory; `call` is the
  // number of the owner's call.
  void count_next(UpdateCount* count, UpdateNumber* made, std::int64_t call) {
    next_ = {count, made, call};
  }

 private:
  struct Counted {
    UpdateCount* count = nullptr;
    UpdateNumber* made = nullptr;
    std::int64_t call = 0;
  };
  struct Pending {
    const PointwiseKernel* kernel;
    Device device;
    DType dtype;
    detail::FormulaBytes functor;
    PointwiseItem item;
    UpdateCount* count;
  };
  struct Apart {  // not contiguous
    Pending pending;
    LoopPlan plan;
  };
  void note(const Pending& done);

  PoolVector<Pending> pending_;
  PoolVector<Apart> apart_;
  Counted next_;
  std::int64_t added_ = 0, asked_ = 0;
};

}  // namespace tapeloop
