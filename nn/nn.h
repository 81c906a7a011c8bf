// SPDX-License-Identifier: MIT
// The one include for modules: layers, recurrent layers, attention, sequence to sequence, decoding, measures, saving.
#pragma once

#include "autograd/autograd.h"
#include "nn/activation_page.h"
#include "nn/activation_picture.h"
#include "nn/activations.h"
#include "nn/attention.h"
#include "nn/cells.h"
#include "nn/checkpoint.h"
#include "nn/decoding.h"
#include "nn/gradient_picture.h"
#include "nn/init.h"
#include "nn/inspect.h"
#include "nn/layers.h"
#include "nn/metrics.h"
#include "nn/module.h"
#include "nn/recurrent.h"
#include "nn/sampling.h"
#include "nn/scheduled_sampling.h"
#include "nn/seq2seq.h"
#include "nn/serialize.h"
#include "nn/stepper.h"
