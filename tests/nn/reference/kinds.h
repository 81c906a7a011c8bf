// SPDX-License-Identifier: MIT
// The kinds of cases in tests/reference, and how this library computes the outputs of each. A new
// kind is a function Outputs(Case&) in a header of its subject and a row here.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "tests/nn/reference/attention.h"
#include "tests/nn/reference/captions.h"
#include "tests/nn/reference/cells.h"
#include "tests/nn/reference/grids.h"
#include "tests/nn/reference/images.h"
#include "tests/nn/reference/layers.h"
#include "tests/nn/reference/loss.h"
#include "tests/nn/reference/models.h"
#include "tests/nn/reference/ops.h"
#include "tests/nn/reference/optim.h"
#include "tests/nn/reference/recurrent.h"
#include "tests/nn/reference/structures.h"

namespace reference {

struct Kind {
  std::vector<std::string> names;         // values of the setting "kind"
  Outputs (*run)(Case& c);                // throws Unknown if it lacks an option
  bool (*fits)(const Case& c) = nullptr;  // a case without the setting "kind"
};

inline const std::vector<Kind>& kinds() {
  static const std::vector<Kind> table = {
      // recurrent layers
      {{"lstm", "gru", "rnn", "rnn_tanh", "rnn_relu"}, recurrent},
      {{"lstm_variant"}, lstm_variant},
      {{"lstm_ln"}, layer_norm_lstm},
      {{"lstm_bn"}, batch_norm_lstm},
      {{"gru_ln"}, layer_norm_gru},
      {{"mgu"}, mgu},
      {{"mut"}, mut},
      {{"rhn"}, recurrent_highway},
      {{"indrnn"}, indrnn},
      {{"mingru"}, min_gru},
      {{"minlstm"}, min_lstm},
      {{"sru"}, sru},
      {{"qrnn"}, qrnn},
      {{"lru"}, lru},
      {{"s4d"}, s4d},
      {{"clockwork"}, clockwork},
      {{"slstm"}, slstm},
      {{"mlstm"}, mlstm},
      {{"xlstm"}, xlstm},
      {{"lmu"}, lmu},
      {{"convlstm"}, conv_lstm},
      {{"phased"}, phased_lstm},
      {{"lstm_stack"}, lstm_stack},
      {{"lstm_zoneout"}, lstm_zoneout},
      {{"gru_zoneout"}, gru_zoneout},
      {{"lstm_dropout"}, lstm_dropout},
      // cells on grids
      {{"mdlstm"}, mdlstm},
      {{"grid_lstm"}, grid_lstm},
      // structures
      {{"tree_lstm"}, tree_lstm},
      {{"graph_lstm"}, graph_lstm},
      {{"graph_lstm_superpixels"}, graph_superpixels},
      // models
      {{"sentiment"}, sentiment},
      {{"video"}, video},
      {{"tagger"}, tagger},
      {{"caption"}, caption},
      {{"show_attend_tell"}, show_attend_tell},
      {{"char", "char_lm", "char_lstm"},
       char_model,
       [](const Case& c) { return c.has("input.tokens") && c.has("param.rnn.weight_ih_l0"); }},
      {{"quadratic", "quad"}, quadratic, [](const Case& c) { return c.has("input.A"); }},
      {{"regression"},
       regression_model,
       [](const Case& c) { return c.has("param.lstm.weight_ih_l0") && c.has("param.fc.weight"); }},
      {{"bahdanau"}, bahdanau, [](const Case& c) { return c.begins("bahdanau"); }},
      {{"luong"}, luong, [](const Case& c) { return c.begins("luong"); }},
      // operations
      {{"op", "ops"}, operations, [](const Case& c) { return c.begins("op_"); }},
      // losses
      {{"cross_entropy"},
       cross_entropy_loss,
       [](const Case& c) { return c.begins("ce_") || c.begins("cross_entropy"); }},
      {{"bce", "bce_logits"}, binary_cross_entropy, [](const Case& c) { return c.begins("bce"); }},
      {{"kl", "kl_div"}, kl, [](const Case& c) { return c.begins("kl"); }},
      {{"mse", "l1", "huber", "smooth_l1"},
       regression,
       [](const Case& c) {
         return c.begins("mse") || c.begins("l1") || c.begins("huber") || c.begins("smooth_l1");
       }},
      {{"ctc"}, ctc, [](const Case& c) { return c.begins("ctc"); }},
      // layers
      {{"layer_norm", "layernorm"},
       layer_normalisation,
       [](const Case& c) { return c.set("normalized_shape.0"); }},
      {{"conv1d", "conv2d"}, convolution, [](const Case& c) { return c.begins("conv2d_"); }},
      {{"maxpool1d", "maxpool2d", "avgpool1d", "avgpool2d"}, pooling},
      {{"conv_bn_pool"}, conv_bn_pool, [](const Case& c) { return c.begins("conv_bn_pool"); }},
      {{"batchnorm", "batchnorm1d", "batchnorm2d"}, batch_normalisation},
      {{"embedding"},
       embedding_layer,
       [](const Case& c) { return c.has("input.indices") && c.has("param.weight"); }},
      {{"dropout"}, given_dropout, [](const Case& c) { return c.begins("dropout"); }},
      // gradients and learning rates
      {{"clip"}, clipping, [](const Case& c) { return c.begins("clip_"); }},
      {{"schedule", "lr_schedule"},
       learning_rates,
       [](const Case& c) { return c.set("scheduler") || c.begins("lr_") || c.begins("sched"); }},
  };
  return table;
}

// Kinds in tests/reference that the library does not have: the setting "kind", or the name of a
// case without it. Whoever adds the kind removes its name.
inline const std::vector<std::string>& missing_kinds() {
  static const std::vector<std::string> names = {};
  return names;
}

// The row of this case. Throws Unknown if there is none.
inline const Kind& kind_of(const Case& c) {
  const bool given = c.set("kind");
  for (const Kind& kind : kinds()) {
    if (given ? std::find(kind.names.begin(), kind.names.end(), c.kind()) != kind.names.end()
              : kind.fits != nullptr && kind.fits(c))
      return kind;
  }
  throw Unknown("");
}

// All outputs of the case. Any kind can be the model that an optimizer trains.
inline Outputs outputs_of(Case& c) {
  const Kind& kind = kind_of(c);
  if (!c.set("optimizer") || kind.run == learning_rates) return kind.run(c);
  return optimizing(c, [&kind](Case& model) { return first_loss(model, kind.run(model)); });
}

}  // namespace reference
