// SPDX-License-Identifier: MIT
// All of the library.
#pragma once

#include "tapeloop/autograd/autograd.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/optim/optim.h"
