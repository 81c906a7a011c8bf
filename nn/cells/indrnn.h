// SPDX-License-Identifier: MIT
// IndRNN: each unit sees only its own past, so it keeps long memories apart. Li et al. 2018,
// arXiv:1803.04831
//   h' = relu(W_ih x + u h + b), or tanh
#pragma once

#include <cmath>
#include <string>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/diagonal.h"
#include "tapeloop/nn/cells/rnn.h"

namespace tapeloop::nn {

struct IndRnnOptions {
  Nonlinearity nonlinearity = Nonlinearity::relu;  // of h'
  // T: u begins between 0 and 2^(1/T), so that units keep what they saw T steps ago; 0: u begins as
  // the weights of an RNN. With T, call clip(T) after updates.
  std::int64_t steps = 0;
  void visit(OptionTable& table) {
    table("steps", steps), table("nonlinearity", nonlinearity, {"tanh", "relu"});
  }
};

// The state is h.
struct IndRnnCell {
  using State = nn::State<1>;
  using Options = IndRnnOptions;
  Linear from_x;                                   // W_ih [H, I] and b
  Var weight_hh;                                   // u [H]
  Nonlinearity nonlinearity = Nonlinearity::relu;  // of h'
  std::int64_t steps = 0;                          // as in the options
  IndRnnCell() = default;
  IndRnnCell(const RecurrentOptions& options, Random& random, const Options& own = {})
      : from_x(detail::drawn_linear("indrnn", options.hidden, options, random)),
        weight_hh(own.steps == 0 ? detail::drawn({options.hidden}, options, random)
                                 : parameter(random_uniform({options.hidden}, 0, most(own.steps),
                                                            random, options.dtype))),
        nonlinearity(own.nonlinearity),
        steps(own.steps) {}
  std::array<std::int64_t, 1> state_sizes() const { return {weight_hh.dim(0)}; }
  Var input(const Var& x) const { return from_x(x); }
  Linear input_projection() const { return from_x; }
  Recurrence recurrence() const {
    const auto u = of::unit(weight_hh), h = of::state(0);
    return nonlinearity == Nonlinearity::relu ? Recurrence(IndRelu{}, of::input(), u, h)
                                              : Recurrence(IndTanh{}, of::input(), u, h);
  }
  // Keeps |u| <= 2^(1/T), so that a gradient over T steps at most doubles. Call it after each
  // update of the weights. Throws unless T is 1 or more.
  void clip(std::int64_t T) const {
    if (T < 1) {
      fail("indrnn", "clip() was given " + std::to_string(T) + " steps, expected 1 or more");
    }
    const PauseRecording pause;
    weight_hh.value().copy_from(clamp(weight_hh, -most(T), most(T)).value());
  }
  void visit(Visitor& v) const {
    v("weight_ih", from_x.weight), v("weight_hh", weight_hh), v("bias_ih", from_x.bias);
  }

 private:
  static double most(std::int64_t t) { return std::pow(2.0, 1.0 / static_cast<double>(t)); }
};

using IndRnn = Recurrent<IndRnnCell>;  // a stack of them

}  // namespace tapeloop::nn
