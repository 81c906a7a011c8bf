// SPDX-License-Identifier: MIT
// A whole sequence of a recurrent step on the CPU: product, formula, product, formula, ...
// Knows neither Vars nor what is saved for whom; autograd/device/backend.h describes the arguments.
#pragma once

#include "tapeloop/autograd/device/backend.h"

namespace tapeloop::cpu {

template <class T>
void recurrent_forward(const RecurrentForward& run);
template <class T>
void recurrent_backward(const RecurrentBackward& run);

}  // namespace tapeloop::cpu
