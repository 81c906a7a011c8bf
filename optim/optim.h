// SPDX-License-Identifier: MIT
// Includes all headers of optim.
#pragma once

#include "tapeloop/optim/adagrad.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"
#include "tapeloop/optim/nag.h"
#include "tapeloop/optim/rmsprop.h"
#include "tapeloop/optim/schedule.h"
#include "tapeloop/optim/sgd.h"
