// SPDX-License-Identifier: MIT
// A whole sequence of recurrent steps on the CPU: a product and the formula in turn. Knows no Var
// and not what the tape saves; autograd/device/backend.h describes the arguments.
#pragma once

#include "tapeloop/autograd/device/backend.h"

namespace tapeloop::cpu {

template <class T>
void recurrent_forward(const RecurrentForward& run);
template <class T>
void recurrent_backward(const RecurrentBackward& run);

}  // namespace tapeloop::cpu
