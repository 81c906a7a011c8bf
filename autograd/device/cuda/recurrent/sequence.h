// SPDX-License-Identifier: MIT
// A plain batch of sequences, as the persistent kernels run it; and how a LevelRun is read as one.
#pragma once

#include <optional>

#include "tapeloop/autograd/device/level_run.h"

namespace tapeloop::cuda {

// T time steps of
//   z_t = zx_t + w h_{t-1}     h_t, c_t, ... = F(z_t, [h_{t-1}], c_{t-1}, ...)
// or, if `apart`:
//   z_t = w h_{t-1} + bias     h_t, c_t, ... = F(zx_t, z_t, [h_{t-1}], c_{t-1}, ...)
// T time steps, N batch, H hidden size, G gates. Tensors are contiguous, except w.
struct RecurrentSequence {
  const PointwiseKernel* kernel;  // F, or its backward
  const void* functor;
  bool apart;
  bool takes_h;                // F has h_{t-1} among its arguments
  bool reverse;                // from the last time step to the first
  Tensor zx;                   // [T, N, G*H]
  Tensor w;                    // [G*H, H], any strides
  Tensor z;                    // [T, N, G*H], or [1, N, G*H] if the values are not kept
  PoolVector<Tensor> initial;  // parts of the initial state, h first: [N, H]
  PoolVector<Tensor> states;   // after each step: [T, N, H], or [1, N, H] for all but h
};
// Writes z and states. z may be zx itself unless `apart`.
struct RecurrentForward : RecurrentSequence {
  Tensor bias;  // [G*H], or undefined
};
// Reads the z and states of the forward pass.
struct RecurrentBackward : RecurrentSequence {
  Tensor dhs;                  // [T, N, H], or undefined: zero
  PoolVector<Tensor> dstates;  // [N, H]; in: of the last state, out: of the initial state
  Tensor dz;                   // [T, N, G*H], out; may be z itself
  Tensor dzx;                  // the same for zx, if `apart`
};

// The run as a plain batch of sequences. Nothing if the order is no chain, or if the step is not
// one product of h, and one formula that reads it and then the parts of the state in their order.
std::optional<RecurrentForward> plain_sequence(const LevelForward& run);
std::optional<RecurrentBackward> plain_sequence(const LevelBackward& run);

}  // namespace tapeloop::cuda
