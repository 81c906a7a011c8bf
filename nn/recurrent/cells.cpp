// SPDX-License-Identifier: MIT
// Construction and steps of the built-in cells.
#include "tapeloop/nn/recurrent/cells.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

GateWeights::GateWeights(const char* cell, int gates, const RecurrentOptions& o, Random& random) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // gates * hidden is a size, too
  if (o.input < 1 || o.hidden < 1 || o.hidden > kMost || o.projection < 0 ||
      (o.projection > 0 && o.projection >= o.hidden)) {
    fail(cell, fmt::format(
                   "input is {}, hidden {}, projection {}; expected input and hidden of 1 or more, "
                   "hidden of at most 2^40, and a projection smaller than hidden",
                   o.input, o.hidden, o.projection));
  }
  std::int64_t out = o.projection > 0 ? o.projection : o.hidden;
  double bound = 1.0 / std::sqrt(static_cast<double>(o.hidden));
  weight_ih = uniform_parameter({gates * o.hidden, o.input}, bound, random, o.dtype);
  weight_hh = uniform_parameter({gates * o.hidden, out}, bound, random, o.dtype);
  if (o.bias) {
    bias_ih = uniform_parameter({gates * o.hidden}, bound, random, o.dtype);
    bias_hh = uniform_parameter({gates * o.hidden}, bound, random, o.dtype);
  }
}

Var GateWeights::input(const char* cell, const Var& x, bool with_both_biases) const {
  if (x.rank() < 1 || x.dim(-1) != weight_ih.dim(1)) {
    fail(cell, fmt::format("x has {} features, the cell was built with input = {}; x is {}",
                           x.rank() < 1 ? 0 : x.dim(-1), weight_ih.dim(1), x.value().describe()));
  }
  return input_projection(with_both_biases)(x);
}

Linear GateWeights::input_projection(bool with_both_biases) const {
  Linear result;
  result.weight = weight_ih;
  result.bias = input_bias(with_both_biases);
  return result;
}

Var GateWeights::input(const char* cell, const Tensor& symbols, bool with_both_biases) const {
  if (!symbols.defined() || symbols.dtype() != DType::int64) {
    fail(cell, fmt::format("symbols must be int64, got {}; a float tensor is passed as Var(x)",
                           symbols.describe()));
  }
  Var rows = transpose(weight_ih);
  return embedding(bias_ih.defined() ? rows + input_bias(with_both_biases) : rows, symbols);
}

Var GateWeights::input_bias(bool with_both_biases) const {
  return bias_ih.defined() && with_both_biases ? bias_ih + bias_hh : bias_ih;
}

// A cell throws if an option is set that it does not use.
static void refuse(const char* cell, bool given, const char* option) {
  if (given)
    fail(cell, fmt::format("the option `{}` does not apply to this cell; leave it at its default",
                           option));
}

RnnCell::RnnCell(const RecurrentOptions& o, Random& random) : nonlinearity(o.nonlinearity) {
  refuse("rnn", o.projection != 0, "projection");
  refuse("rnn", o.reset != GruReset::after, "reset");
  w = GateWeights("rnn", 1, o, random);
}

LstmCell::LstmCell(const RecurrentOptions& o, Random& random) {
  refuse("lstm", o.nonlinearity != Nonlinearity::tanh, "nonlinearity");
  refuse("lstm", o.reset != GruReset::after, "reset");
  w = GateWeights("lstm", 4, o, random);
  if (o.projection > 0) {
    double bound = 1.0 / std::sqrt(static_cast<double>(o.hidden));
    weight_hr = uniform_parameter({o.projection, o.hidden}, bound, random, o.dtype);
  }
}

GruCell::GruCell(const RecurrentOptions& o, Random& random) : reset(o.reset) {
  refuse("gru", o.projection != 0, "projection");
  refuse("gru", o.nonlinearity != Nonlinearity::tanh, "nonlinearity");
  w = GateWeights("gru", 3, o, random);
}

Recurrence LstmCell::recurrence() const {
  const auto z = of::input() + of::product(w.weight_hh);
  if (!weight_hr.defined()) return Recurrence(LstmGates{}, z, of::state(1));
  Recurrence result;
  const auto m = result.stage(LstmGates{}, z, of::state(1));
  result.next({of::product(weight_hr, m[0]), m[1]});
  return result;
}

Recurrence GruCell::recurrence() const {
  const auto h = of::state(0);
  if (reset == GruReset::after) {
    return Recurrence(GruGates{}, of::input(), of::product(w.weight_hh, h, w.bias_hh), h);
  }
  const std::int64_t size = w.weight_hh.dim(1);
  const auto weights = split(w.weight_hh, std::array{2 * size, size}, 0);
  Recurrence result;
  const auto rz = result.value(of::input(0, 2 * size) + of::product(weights[0]));
  const auto s = result.stage(GruResetState{}, rz.columns(0, size), h);
  const auto n = of::input(2 * size, size) + of::product(weights[1], s[0]);
  result.next(result.stage(GruUpdate{}, rz.columns(size, size), n, h));
  return result;
}

// --- a single step ---

// By ordinary operations, the most common ones directly: they take less time than the making of a
// Recurrence.

RnnCell::State RnnCell::step(const Var& zx, const State& s) const {
  const Var z = linear(s.h(), w.weight_hh, zx);
  return State(nonlinearity == Nonlinearity::tanh ? pointwise(ElmanTanh{}, z)
                                                  : pointwise(ElmanRelu{}, z));
}

LstmCell::State LstmCell::step(const Var& zx, const State& s) const {
  auto [h, c] = pointwise(LstmGates{}, columns<4>(linear(s.h(), w.weight_hh, zx)), s[1]);
  return State(weight_hr.defined() ? linear(h, weight_hr) : h, c);
}

GruCell::State GruCell::step(const Var& zx, const State& s) const {
  if (reset == GruReset::before) return State(recurrence().step(zx, s.all()));
  const Var zh = linear(s.h(), w.weight_hh, w.bias_hh);
  return State(pointwise(GruGates{}, columns<3>(zx), columns<3>(zh), s.h()));
}

}  // namespace tapeloop::nn
