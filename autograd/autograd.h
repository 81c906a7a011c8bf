// SPDX-License-Identifier: MIT
// The one include for tapes, tensors, operations, losses and gradcheck.
#pragma once

#include "tapeloop/autograd/device/cpu/threads.h"
#include "tapeloop/autograd/look/gradcheck.h"
#include "tapeloop/autograd/look/inspect.h"
#include "tapeloop/autograd/look/profile.h"
#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/ops/formula.h"
#include "tapeloop/autograd/ops/linear_groups.h"
#include "tapeloop/autograd/ops/losses.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/ops/pooling.h"
#include "tapeloop/autograd/ops/scan.h"
#include "tapeloop/autograd/tape/named.h"
#include "tapeloop/autograd/tape/tape.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/tensor.h"
