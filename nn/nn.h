// SPDX-License-Identifier: MIT
// The one include for modules: layers, recurrent layers, initial values, sampling, saving and loading.
#pragma once

#include "autograd/autograd.h"
#include "nn/cells.h"
#include "nn/checkpoint.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/module.h"
#include "nn/recurrent.h"
#include "nn/sampling.h"
#include "nn/serialize.h"
#include "nn/stepper.h"
