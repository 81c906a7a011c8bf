// SPDX-License-Identifier: MIT
// The one include for tapes, tensors, operations, losses and gradcheck.
#pragma once

#include "autograd/cpu/threads.h"
#include "autograd/error.h"
#include "autograd/formula.h"
#include "autograd/gradcheck.h"
#include "autograd/inspect.h"
#include "autograd/losses.h"
#include "autograd/named.h"
#include "autograd/ops.h"
#include "autograd/pointwise.h"
#include "autograd/profile.h"
#include "autograd/random.h"
#include "autograd/tape.h"
#include "autograd/tensor.h"
