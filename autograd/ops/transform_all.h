// SPDX-License-Identifier: MIT
// TransformAll: formulas on the bare tensors of many parameters, with one launch for all of them on a GPU.
// Records nothing and keeps no tensor alive.
#pragma once

#include <initializer_list>

#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

// How often a tensor was updated, kept by whoever owns it and counted by TransformAll.
struct UpdateCount {
  std::int64_t updates = 0;
  std::int64_t asked =
      0;  // of a device, which may not have made all of them (UpdatesMade in backend.h)
};

// transform() for many sets of tensors, of which none reads what another one writes:
//   TransformAll all;
//   for (...) all.add(rule::Sgd{...}, {p, g}, {p});
//   all.run();
// On the CPU add() does the work at once. On another device it is put off, and run() makes one launch for all that share a
// formula and an element type; tensors must live until then. There an operand with a single element stands for as many as
// the others have; what is not contiguous has a launch of its own. From a mistake on, such as a target that is no class, none
// of them does anything until the host is told. No heap allocation in the steady state.
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
  std::int64_t added() const { return added_; }  // so far
  std::int64_t asked() const { return asked_; }  // of a device by run(): updates with a number

  // The next add() is an update for `count`, which is one more when it is done or, on a GPU, asked for. There `made`, on the
  // device, gets its number, in call `call` of its owner's.
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
