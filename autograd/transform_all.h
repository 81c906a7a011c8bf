// SPDX-License-Identifier: MIT
// TransformAll: formulas on the bare tensors of many parameters, with one launch for all of them on a GPU.
// Records nothing and keeps no tensor alive.
#pragma once

#include <initializer_list>

#include "autograd/memory.h"
#include "autograd/pointwise.h"

namespace tapeloop {

// transform() for many sets of tensors, of which none reads what another one writes:
//   TransformAll all;
//   for (...) all.add(rule::Sgd{...}, {p, g}, {p});
//   all.run();
// On the CPU add() does the work at once. On another device it is put off, and run() makes one launch for all that share a
// formula and an element type; tensors must live until then. There an operand with a single element stands for as many as
// the others have; what is not contiguous is done by itself, at once. No heap allocation in the steady state.
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

 private:
  struct Pending {
    const PointwiseKernel* kernel;
    Device device;
    DType dtype;
    detail::FormulaBytes functor;
    PointwiseItem item;
  };
  PoolVector<Pending> pending_;
  std::int64_t added_ = 0;
};

}  // namespace tapeloop
