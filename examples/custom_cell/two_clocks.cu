// SPDX-License-Identifier: MIT
// Registers the formula for CUDA: a cell needs only this line to run on a GPU. Without nvcc the
// build skips this file.
#include "two_clocks.h"

#include "tapeloop/autograd/device/cuda/pointwise.cuh"

static const bool kTwoClocks = tapeloop::register_pointwise<TwoClocks>();
