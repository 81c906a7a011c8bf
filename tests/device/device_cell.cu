// SPDX-License-Identifier: MIT
// Registers a user's cells for CUDA, as a user would.
#include "tests/device/device_cell.h"

#include "tapeloop/autograd/device/cuda/recurrent/recurrent.cuh"
#include "tests/sequence/recurrent_formulas.h"
#include "tests/sequence/step_formulas.h"

bool tapeloop::test::register_cells() {
  register_recurrent<ThreeParts>();
  register_recurrent<Leaky>();
  register_recurrent<Apart>();
  register_pointwise<Peepholes>();
  register_pointwise<Diagonal>();
  register_pointwise<CellAndOutput>();
  register_pointwise<Output>();
  register_pointwise<Kept>();
  register_pointwise<TwoPaths>();
  register_pointwise<ForgetEdge>();
  register_pointwise<ForgetNeighbour>();
  register_pointwise<SumGates>();
  register_pointwise<PlainDescent>();
  register_pointwise<PointwiseOnly>();
  return register_recurrent<MinimalGate>();
}

bool tapeloop::test::is_minimal_gate(const void* id) { return id == &kFunctorId<MinimalGate>; }
