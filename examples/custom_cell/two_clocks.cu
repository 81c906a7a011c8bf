// SPDX-License-Identifier: MIT
// The formula for CUDA: this line is all that a cell needs to run on a GPU. Not compiled where there is no nvcc.
#include "two_clocks.h"

#include "tapeloop/autograd/device/cuda/pointwise.cuh"

static const bool kTwoClocks = tapeloop::register_pointwise<TwoClocks>();
