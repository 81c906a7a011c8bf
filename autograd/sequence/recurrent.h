// SPDX-License-Identifier: MIT
// recurrent(): a whole sequence of a recurrent step as one operation, generic in the user's formula. It does what the same
// steps unrolled on the tape do (that is its oracle in the tests), with weights packed once, one weight-gradient product
// over all steps, and hidden units divided among threads.
//   T time steps, N batch, H hidden units, G gates, K parts of the state s = (h, c, ...), each [N, H].
#pragma once

#include <array>
#include <span>

#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

// One step, as a formula F and the weights of its one product. What F takes is told by how many arguments it has:
//   h_t, c_t, ... = F(z_t, c_{t-1}, ...)  or  F(z_t, h_{t-1}, c_{t-1}, ...)      z_t = zx_t + w_hh h_{t-1}
// with the G columns of z_t [N, G*H] as one argument each. F returns the K parts of the state, h first.
struct Recurrence {
  const PointwiseKernel* kernel = nullptr;  // of the formula; null: undefined
  detail::FormulaBytes formula{};
  Var w_hh;            // [G*H, H]
  Var b_hh;            // [G*H] or undefined; only where apart
  bool apart = false;  // the formula gets zx_t and z_t = w_hh h_{t-1} + b_hh, not their sum

  Recurrence() = default;
  template <class F>
  Recurrence(const F& f, const Var& w) : kernel(&pointwise_kernel<F>()), formula(f), w_hh(w) {}
  // F(zx_t, z_t, ...) with z_t = w_hh h_{t-1} + b_hh: both products as arguments of their own, as the GRU needs them.
  template <class F>
  static Recurrence with_products_apart(const F& f, const Var& w, const Var& b = {}) {
    Recurrence result(f, w);
    result.b_hh = b;
    result.apart = true;
    return result;
  }

  bool defined() const { return kernel != nullptr; }
  int parts() const { return defined() ? kernel->outputs : 0; }  // K
  // One step by ordinary operations: zx [N, G*H] and the K parts -> the K parts after it.
  PoolVector<Var> step(const Var& zx, std::span<const Var> state) const;
};

struct SequenceOptions {
  bool reverse = false;  // from the last time step to the first; hs stay aligned to zx
  // [N], each 0..T: past its length a sequence's state stands still, and hs repeats it; what zx holds there does not
  // matter, not even NaN. Empty: all run to the end.
  std::span<const std::int64_t> lengths = {};
};

struct RecurrentResult {
  Var hs;                // [T, N, H]
  PoolVector<Var> last;  // the K parts after the last step, [N, H]
};

// zx [T, N, G*H], state [K] parts [N, H]. A zx that is moved in and that nobody else holds is overwritten: an LSTM then
// keeps 4 + 2 numbers for each unit and step, and its backward pass needs no more than that.
// Saves the pre-activations and all parts of all states. Throws where shapes, types or numbers of arguments do not fit.
// Cost: 2 T N G H^2 flops, twice that backward; no allocation in the steady state.
RecurrentResult recurrent(const Recurrence& recurrence, Var zx, std::span<const Var> state,
                          const SequenceOptions& options = {});

// The same for a formula and its weights: auto [hs, last] = recurrent(LstmGates{}, linear(xs, w_ih, b), w_hh, {h, c});
template <class F>
RecurrentResult recurrent(const F& formula, Var zx, const Var& w_hh,
                          std::initializer_list<Var> state, const SequenceOptions& options = {}) {
  return recurrent(Recurrence(formula, w_hh), std::move(zx), {state.begin(), state.size()},
                   options);
}

}  // namespace tapeloop
