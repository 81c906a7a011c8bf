// SPDX-License-Identifier: MIT
// The backward function of recurrent().
#pragma once

#include "tapeloop/autograd/sequence/recurrent_run.h"
#include "tapeloop/autograd/tape/saved.h"

namespace tapeloop::detail {

// Its arguments are the gradients of the results: the states of all nodes (of h, or of all parts),
// then of the K parts of the last state, if there are finals.
class RecurrentGradient {
 public:
  RecurrentGradient(RecurrentRun run, RecurrentMemory memory, bool all_parts);
  void operator()(std::span<const Var> douts, Grads& grads);

 private:
  void check_saved(bool recorded) const;
  PoolVector<Tensor> state_gradients(std::span<const Var> douts, const Grads& grads,
                                     PoolVector<Tensor>& upstream) const;
  PoolVector<Tensor> value_gradients(const Tensor& dinput, bool last) const;
  Tensor input_gradient(bool last) const;
  void add_weight_gradients(std::span<const Tensor> dvalues, std::span<const Tensor> dstates,
                            Grads& grads) const;

  RecurrentRun run_;
  RecurrentMemory memory_;
  bool all_parts_;
  PoolVector<Stamp> stamps_;  // of the inputs, the states and the extra values
};

}  // namespace tapeloop::detail
