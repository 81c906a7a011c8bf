// SPDX-License-Identifier: MIT
// Includes all built-in cells. Each is a page: its formula (gates/), and a struct around it made
// with public functions only. A user's cell looks the same and runs in the same way.
#pragma once

#include "tapeloop/nn/cells/clockwork.h"
#include "tapeloop/nn/cells/conv_lstm.h"
#include "tapeloop/nn/cells/gru.h"
#include "tapeloop/nn/cells/indrnn.h"
#include "tapeloop/nn/cells/lmu.h"
#include "tapeloop/nn/cells/lstm.h"
#include "tapeloop/nn/cells/mgu.h"
#include "tapeloop/nn/cells/min_rnns.h"
#include "tapeloop/nn/cells/mut.h"
#include "tapeloop/nn/cells/normalised/batch_norm_lstm.h"
#include "tapeloop/nn/cells/normalised/layer_norm_gru.h"
#include "tapeloop/nn/cells/normalised/layer_norm_lstm.h"
#include "tapeloop/nn/cells/peephole_lstm.h"
#include "tapeloop/nn/cells/phased_lstm.h"
#include "tapeloop/nn/cells/recurrent_highway.h"
#include "tapeloop/nn/cells/rnn.h"
#include "tapeloop/nn/cells/scans/lru.h"
#include "tapeloop/nn/cells/scans/qrnn.h"
#include "tapeloop/nn/cells/scans/s4d.h"
#include "tapeloop/nn/cells/sru.h"
#include "tapeloop/nn/cells/ugrnn.h"
#include "tapeloop/nn/cells/xlstm/mlstm.h"
#include "tapeloop/nn/cells/xlstm/slstm.h"
