// SPDX-License-Identifier: MIT
// Construction and input of the phased LSTM.
#include "tapeloop/nn/cells/phased_lstm.h"

#include <fmt/format.h>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

PhasedLstmCell::PhasedLstmCell(const RecurrentOptions& o, Random& random, const Options& own)
    : leak(own.leak) {
  if (o.input < 2) {
    fail("phased_lstm", fmt::format("input is {}, expected 2 or more: features, and the time in "
                                    "the last column",
                                    o.input));
  }
  if (o.layers > 1) {
    fail("phased_lstm",
         fmt::format("layers is {}, expected 1: only the first layer of a stack gets "
                     "times; make the layers above of another cell",
                     o.layers));
  }
  if (o.noise.inputs != 0 || o.connection != Connection::plain) {
    fail("phased_lstm",
         fmt::format("noise.inputs is {}, and the connection is {}; both would act on the times in "
                     "the last column of x. Leave them at their defaults; drop features by "
                     "nn::Dropout before the times are appended",
                     o.noise.inputs,
                     o.connection == Connection::plain      ? "plain"
                     : o.connection == Connection::residual ? "residual"
                                                            : "highway"));
  }
  if (!(own.leak >= 0 && own.leak <= 1)) {
    fail("phased_lstm", fmt::format("leak is {}, expected 0 to 1", own.leak));
  }
  RecurrentOptions features = o;
  --features.input;
  w = GateWeights("phased_lstm", 4, features, random);
  if (own.peephole) weight_ch = detail::drawn({3 * o.hidden}, o, random);
  // As in the paper: periods from 1 to e^3, evenly in their logarithms; open for a twentieth.
  tau = parameter(exp(Var(random_uniform({o.hidden}, 0, 3, random, o.dtype))).value());
  shift =
      parameter((tau.detach() * Var(random_uniform({o.hidden}, 0, 1, random, o.dtype))).value());
  r_on = parameter(Tensor::full({o.hidden}, 0.05, o.dtype));
}

Linear PhasedLstmCell::input_projection() const {
  const Linear gates = w.input_projection();
  const std::int64_t size = w.outputs(), features = gates.weight.dim(1);
  const auto full = [&](const Shape& shape, double value) {
    return Var(Tensor::full(shape, value, gates.weight.dtype(), gates.weight.device()));
  };
  Linear result;
  result.weight = concat({concat({gates.weight, full({4 * size, 1}, 0)}, 1),
                          concat({full({size, features}, 0), full({size, 1}, 1)}, 1)},
                         0);
  if (gates.bias.defined()) result.bias = concat({gates.bias, full({size}, 0)}, 0);
  return result;
}

Var PhasedLstmCell::input(const Var& x) const {
  detail::check_features("phased_lstm", x, w.weight_ih.dim(1) + 1);
  return input_projection()(x);
}

}  // namespace tapeloop::nn
