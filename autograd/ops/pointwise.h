// SPDX-License-Identifier: MIT
// pointwise(Functor{}, a, b, c, ...): an elementwise formula, written once, as one fused kernel
// with an exact backward. The formula is a functor generic in its number type; see
// nn/cells/gates for examples. The loops over elements are in cpu/loop.h.
#pragma once

#include <array>
#include <cstring>
#include <span>
#include <type_traits>

#include "tapeloop/autograd/device/cpu/loop.h"
#include "tapeloop/autograd/device/transform.h"
#include "tapeloop/autograd/tape/tape.h"

namespace tapeloop {

// A variable whose last axis [..., G*H] is split into G columns [..., H]. Each column is one
// argument of the functor: pointwise(LstmGates{}, columns<4>(z), c) passes the four gates, and the
// backward writes their gradients side by side into one tensor.
template <int G>
struct Columns {
  const Var& var;  // owned by the caller
};
// x [..., G*H] as G arguments of a functor: see Columns.
template <int G>
Columns<G> columns(const Var& x) {
  return {x};
}

namespace detail {

// The operation without templates: broadcasts, runs the kernel, records. outputs[i] holds
// `out_columns[i]` results of the functor side by side.
void pointwise(const PointwiseKernel& kernel, const FormulaBytes& functor,
               std::span<const PointwiseInput> inputs, std::span<const int> out_columns,
               std::span<Var> outputs);
// The same if only some outputs are wanted (empty: all); the others may stay undefined.
void pointwise_wanted(const PointwiseKernel& kernel, const FormulaBytes& functor,
                      std::span<const PointwiseInput> inputs, std::span<const int> out_columns,
                      std::span<const bool> wanted, std::span<Var> outputs);

// The same for a kernel of one argument and one result.
Var elementwise(const PointwiseKernel& kernel, const FormulaBytes& functor, const Var& x);
template <class F>
Var elementwise(const F& functor, const Var& x) {
  return elementwise(pointwise_kernel<F>(), FormulaBytes(functor), x);
}

// True if the wanted gradients read the elements of input i. `columns`: of each input. The answer
// comes from the trace of the formula: a product reads its other factor, a function its argument, a
// choice its condition; a sum reads nothing. True if there is no trace. Cost: some microseconds for
// the first call of a thread with a formula.
bool gradient_reads(const PointwiseKernel& kernel, const FormulaBytes& functor, std::size_t i,
                    std::span<const int> columns, std::span<const bool> wanted);

template <class T>
inline constexpr int kArguments = 1;
template <int G>
inline constexpr int kArguments<Columns<G>> = G;

inline PointwiseInput as_input(const Var& x) { return {&x, 1}; }
template <int G>
PointwiseInput as_input(const Columns<G>& x) {
  return {&x.var, G};
}

}  // namespace detail

// Inputs: Vars that broadcast with each other, of one element type and device; columns<G>(x) counts
// as G arguments. Returns one Var, or an array of them if the functor returns outputs(...): auto
// [h, c] = pointwise(...). Saves only its inputs for the backward. Throws if shapes do not
// broadcast, or types or devices differ. Cost: one pass over memory forward, one backward.
template <class F, class... In>
auto pointwise(const F& functor, const In&... in) {
  constexpr int kGiven = (0 + ... + detail::kArguments<In>);
  static_assert(
      kArity<F> == kGiven,
      "pointwise: the number of variables given is not the number of the functor's arguments");
  constexpr int kResults = kResultCount<F>;
  const detail::PointwiseInput inputs[] = {detail::as_input(in)...};
  std::array<int, kResults> ones;
  ones.fill(1);
  std::array<Var, kResults> results;
  detail::pointwise(pointwise_kernel<F>(), detail::FormulaBytes(functor), inputs, ones, results);
  if constexpr (kResults == 1) {
    return std::move(results[0]);
  } else {
    return results;
  }
}

// The formula on tensors, without recording: see device/transform.h.
template <class F>
void transform(const F& functor, std::initializer_list<Tensor> inputs,
               std::initializer_list<Tensor> outputs) {
  transform(pointwise_kernel<F>(), &functor, {inputs.begin(), inputs.size()},
            {outputs.begin(), outputs.size()});
}

}  // namespace tapeloop
