// SPDX-License-Identifier: MIT
// Construction of the sLSTM.
#include "tapeloop/nn/cells/xlstm/slstm.h"

#include <fmt/format.h>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

SlstmCell::SlstmCell(const RecurrentOptions& o, Random& random, const Options& own)
    : heads(own.heads), forget(own.forget) {
  detail::check_sizes("slstm", o);
  if (heads < 1 || o.hidden % heads != 0) {
    fail("slstm", fmt::format("hidden is {}, heads {}; expected heads that divide the hidden units",
                              o.hidden, heads));
  }
  w = GateWeights("slstm", 4, o, random, o.hidden / heads).with_one_bias();
  detail::add_to_bias(w.bias_ih, o.hidden, o.hidden, own.forget_bias);
}

}  // namespace tapeloop::nn
