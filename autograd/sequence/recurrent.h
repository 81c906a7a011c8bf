// SPDX-License-Identifier: MIT
// recurrent(): all time steps of a recurrent layer as one operation, for any formula of the
// user. The result is that of the same steps unrolled on the tape (the tests compare both).
// The weights are packed once, the weight gradient is one product over all time steps, and
// threads divide the hidden units.
//   T time steps, N batch, H hidden units, G gates,
//   K parts of the state s = (h, c, ...), each [N, H].
#pragma once

#include <array>
#include <span>

#include "tapeloop/autograd/look/sequence_part.h"
#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

// One step: a formula F and the weights of its one product. The number of F's
// arguments decides between
//   h_t, c_t, ... = F(z_t, c_{t-1}, ...)             z_t = zx_t + w_hh h_{t-1}
//   h_t, c_t, ... = F(z_t, h_{t-1}, c_{t-1}, ...)
// Each of the G columns of z_t [N, G*H] is one argument. F returns the K
// parts of the state, h first.
struct Recurrence {
  const PointwiseKernel* kernel = nullptr;  // the kernel of the formula; null: undefined
  detail::FormulaBytes formula{};           // its settings
  Var w_hh;                                 // [G*H, H]
  Var b_hh;                                 // [G*H] or undefined; only if apart
  bool apart = false;  // the formula gets zx_t and z_t = w_hh h_{t-1} + b_hh, not their sum

  Recurrence() = default;
  template <class F>
  Recurrence(const F& f, const Var& w) : kernel(&pointwise_kernel<F>()), formula(f), w_hh(w) {}
  // F(zx_t, z_t, ...) with z_t = w_hh h_{t-1} + b_hh: the two products are separate
  // arguments, e.g. for the GRU.
  template <class F>
  static Recurrence with_products_apart(const F& f, const Var& w, const Var& b = {}) {
    Recurrence result(f, w);
    result.b_hh = b;
    result.apart = true;
    return result;
  }

  bool defined() const { return kernel != nullptr; }
  int parts() const { return defined() ? kernel->outputs : 0; }  // K
  // One step by ordinary operations: zx [N, G*H] and K parts of the state -> the next K parts.
  PoolVector<Var> step(const Var& zx, std::span<const Var> state) const;
};

struct SequenceOptions {
  bool reverse = false;  // from the last time step to the first; hs stay aligned with zx
  // [N], each 0..T. After the end of a sequence its state stays constant, and hs repeats it; zx is
  // not used there, and may be NaN. Empty: all sequences have T steps.
  std::span<const std::int64_t> lengths = {};
  detail::SequencePart part = {};  // unroll() gives the one that it runs
};

// The result of recurrent().
struct RecurrentResult {
  Var hs;                // [T, N, H]
  PoolVector<Var> last;  // the K parts of the state after the last step, [N, H]
};

// zx [T, N, G*H], state: K parts [N, H]. If zx is moved in and nobody else holds it, it is
// overwritten: an LSTM then keeps 4 + 2 numbers for each unit and time step, and the backward
// pass takes no more. Saves the pre-activations and all parts of all states. Throws if shapes,
// types or the number of arguments do not fit. Cost: 2 T N G H^2 flops, twice that backward; no
// allocation in the steady state.
RecurrentResult recurrent(const Recurrence& recurrence, Var zx, std::span<const Var> state,
                          const SequenceOptions& options = {});

// The same for a formula and its weights:
//   auto [hs, last] = recurrent(LstmGates{}, linear(xs, w_ih, b), w_hh, {h, c});
template <class F>
RecurrentResult recurrent(const F& formula, Var zx, const Var& w_hh,
                          std::initializer_list<Var> state, const SequenceOptions& options = {}) {
  return recurrent(Recurrence(formula, w_hh), std::move(zx), {state.begin(), state.size()},
                   options);
}

}  // namespace tapeloop
