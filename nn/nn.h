// SPDX-License-Identifier: MIT
// Includes all modules: layers, recurrent layers, attention, sequence to sequence,
// decoding, measures, saving.
#pragma once

#include "tapeloop/autograd/autograd.h"
#include "tapeloop/nn/cells/cells.h"
#include "tapeloop/nn/decode/decoding.h"
#include "tapeloop/nn/decode/metrics.h"
#include "tapeloop/nn/decode/sampling.h"
#include "tapeloop/nn/layers/init.h"
#include "tapeloop/nn/layers/layers.h"
#include "tapeloop/nn/layers/module.h"
#include "tapeloop/nn/look/activation_page.h"
#include "tapeloop/nn/look/activation_picture.h"
#include "tapeloop/nn/look/activations.h"
#include "tapeloop/nn/look/gradient_picture.h"
#include "tapeloop/nn/look/inspect.h"
#include "tapeloop/nn/recurrent/recurrent.h"
#include "tapeloop/nn/recurrent/stepper.h"
#include "tapeloop/nn/save/checkpoint.h"
#include "tapeloop/nn/save/serialize.h"
#include "tapeloop/nn/seq2seq/attention.h"
#include "tapeloop/nn/seq2seq/scheduled_sampling.h"
#include "tapeloop/nn/seq2seq/seq2seq.h"
#include "tapeloop/nn/structures/graph.h"
#include "tapeloop/nn/structures/tree.h"
