// SPDX-License-Identifier: MIT
// TransformAll: formulas on the tensors of many parameters, with one launch for all of them on a
// GPU. Records nothing.
#pragma once

#include <initializer_list>

#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

class GraphCapture;

// transform() for many sets of tensors; no set may read a tensor that another set writes:
//   TransformAll all;
//   for (...) all.add(rule::Sgd{...}, {p, g}, {p});
//   all.run();
// add() only queues the work and keeps the tensors. run() does the work: it makes one call of the
// device for all sets with the same formula and element type. An input with a single element is
// repeated for all elements. After a mistake that only a GPU saw, such as a target that is not a
// class, the GPU skips these updates until the host has seen the mistake. No heap allocation in the
// steady state.
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
  // `rerun`: the same calls were captured into that graph, whose next run is to use these settings.
  void run(GraphCapture* rerun = nullptr);
  std::int64_t added() const { return added_; }  // number of calls of add()

 private:
  struct Pending {
    const PointwiseKernel* kernel;
    Device device;
    DType dtype;
    detail::FormulaBytes functor;
    PointwiseItem item;
    std::size_t plan;               // of plans_, if the operands are not contiguous
    std::size_t first_output, end;  // in tensors_
  };
  static constexpr std::size_t kContiguous = static_cast<std::size_t>(-1);
  template <class Action>
  void for_each_kind(Action action);

  PoolVector<Pending> pending_;
  PoolVector<LoopPlan> plans_;
  PoolVector<Tensor> tensors_;  // of all calls of add()
  std::int64_t added_ = 0;
};

}  // namespace tapeloop
