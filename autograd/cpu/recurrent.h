// SPDX-License-Identifier: MIT
// A whole sequence of a recurrent step on the CPU: product, formula, product, formula, ...
// Knows neither Vars nor what is saved for whom; autograd/backend.h describes the arguments.
#pragma once

#include "autograd/backend.h"

namespace tapeloop::cpu {

template <class T>
void recurrent_forward(const RecurrentForward& run);
template <class T>
void recurrent_backward(const RecurrentBackward& run);

}  // namespace tapeloop::cpu
