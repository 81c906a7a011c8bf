// SPDX-License-Identifier: MIT
// What a user writes to run cells of their own on CUDA.
#include "tests/device/device_cell.h"

#include "tapeloop/autograd/device/cuda/recurrent/recurrent.cuh"
#include "tests/sequence/recurrent_formulas.h"

bool tapeloop::test::register_cells() {
  register_recurrent<ThreeParts>();
  register_recurrent<Leaky>();
  register_recurrent<Apart>();
  register_pointwise<PlainDescent>();
  register_pointwise<PointwiseOnly>();
  return register_recurrent<MinimalGate>();
}

bool tapeloop::test::is_minimal_gate(const void* id) { return id == &kFunctorId<MinimalGate>; }
