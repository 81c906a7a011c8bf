// SPDX-License-Identifier: MIT
// Inspection of a training step: the gradient of the hidden state at each time step, and the first
// NaN or infinity. A tape finds both if its TapeOptions ask for them; other tapes have no cost. For
// pictures see nn/look/gradient_picture.h.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/tape/tape.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

// How much of the loss's gradient reaches each time step of one unrolled sequence.
// See Tape::state_gradients().
struct StateGradient {
  std::string scope;     // the scope of the layer: "l0", "decoder/l1"
  bool reverse = false;  // the layer runs from the last time step to the first
  // [T]: |dL/dh_t|, the root of the sum of squares over batch and units. It includes the gradient
  // from later time steps. 0 if there was no gradient, e.g. in steps past a sequence's end.
  std::vector<double> norms;
};

// Where the first NaN or infinity was calculated.
struct NonFinitePlace {
  // The pass that calculated it; none: nothing was found.
  enum class Pass { none, forward, backward };
  Pass pass = Pass::none;  // of the operation
  std::string operation;   // named as in the profile: "lstm_gates", "recurrent", "linear dW"
  std::string scope;  // the scope of the layer: "encoder/l1_reverse"; empty outside of all scopes
  // Time step within the sequence; -1: outside a sequence, or all steps at once.
  std::int64_t step = -1;
  // Part of the operation's formula: "f", "exp(g)"; empty if the formula has only one part.
  std::string gate;
  std::string what;                   // the tensor: "its result float32[4, 8]"
  std::vector<std::int64_t> element;  // the index of the element in this tensor
  double value = 0;                   // NaN, or an infinity
  double largest_input = 0;           // the largest finite input of the operation
  // The input that contained the value, if no operation calculated it: a parameter, or a
  // data tensor. Else undefined.
  Var given;
  // The name of `given`, if nn::find_non_finite() knows it.
  std::string parameter;

  explicit operator bool() const { return pass != Pass::none; }
  // A sentence that describes the place, and one with what to do next. "" if nothing was found.
  std::string str() const;
};

// A tape made by Tape tape({.check_finite = true}) throws it at the first NaN or infinity.
class NonFiniteError : public Error {
 public:
  explicit NonFiniteError(NonFinitePlace found) : Error(found.str()), where(std::move(found)) {}
  NonFinitePlace where;  // the place that the message describes
};

// Runs loss(), which returns a scalar Var, and its backward pass with such a tape, and returns what
// the tape found. Changes no gradient. An infinity counts if it was calculated from finite numbers:
// constants such as a mask's -infinity do not count. loss() draws new random numbers; to repeat
// those of an earlier run see nn::NotedRandoms. Cost: about ten times a training step.
NonFinitePlace find_non_finite(const std::function<Var()>& loss);

}  // namespace tapeloop
