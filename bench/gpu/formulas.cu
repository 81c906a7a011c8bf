// SPDX-License-Identifier: MIT
// Registers the formulas of the GPU benchmarks for CUDA: the user's copy of the LSTM, and one that
// only moves memory.
#include "bench/gpu/multiply_add.h"
#include "examples/custom_cell/my_lstm_gates.h"
#include "tapeloop/autograd/device/cuda/recurrent/recurrent.cuh"

static const bool kFormulas =
    tapeloop::register_recurrent<my::Gates>() && tapeloop::register_pointwise<bench::MultiplyAdd>();
