// SPDX-License-Identifier: MIT
// Construction of the cells with layer normalisation.
#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/layer_norm_gru.h"
#include "tapeloop/nn/cells/layer_norm_lstm.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

namespace {

RecurrentOptions without_bias(RecurrentOptions options) {
  options.bias = false;
  return options;
}
LayerNorm norm_of(std::int64_t features, double epsilon, const RecurrentOptions& o) {
  LayerNorm norm(features, epsilon, o.dtype);
  if (!o.bias) norm.bias = {};
  return norm;
}

}  // namespace

LayerNormLstmCell::LayerNormLstmCell(const RecurrentOptions& o, Random& random,
                                     const Options& given)
    : w("layer_norm_lstm", 4, without_bias(o), random),
      ln_hh(norm_of(4 * o.hidden, given.epsilon, o)),
      ln_c(norm_of(o.hidden, given.epsilon, o)),
      own(given) {
  if (own.norm == GateNorm::whole) ln_ih = norm_of(4 * o.hidden, own.epsilon, o);
  if (!std::isfinite(own.forget_bias) || (own.forget_bias != 0 && !o.bias)) {
    fail(
        "layer_norm_lstm",
        fmt::format("forget_bias is {} and bias {}; expected a finite number, and 0 without biases",
                    own.forget_bias, o.bias));
  }
  if (own.forget_bias != 0) init::forget_gate_bias(ln_hh.bias, own.forget_bias);
}

LayerNormGruCell::LayerNormGruCell(const RecurrentOptions& o, Random& random, const Options& own)
    : w("layer_norm_gru", 3, without_bias(o), random),
      ln_ih(norm_of(3 * o.hidden, own.epsilon, o)),
      ln_hh(norm_of(3 * o.hidden, own.epsilon, o)),
      epsilon(own.epsilon) {}

}  // namespace tapeloop::nn
