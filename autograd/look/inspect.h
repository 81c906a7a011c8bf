// SPDX-License-Identifier: MIT
// Looking inside a training step: the gradient of the hidden state at each time step, and the first NaN or infinity. Both are
// noted by a tape that was asked for them (TapeOptions); other tapes pay nothing. Draws nothing: see nn/look/gradient_picture.h.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tapeloop/autograd/tape/tape.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

// How much of the loss's gradient reaches each step of one unrolled sequence: Tape::state_gradients().
struct StateGradient {
  std::string scope;     // of the layer: "l0", "decoder/l1"
  bool reverse = false;  // runs from the last time step to the first
  // [T]: |dL/dh_t|, the root of the sum of squares over batch and units, with all that comes from later steps; 0 where
  // nothing arrived, as in steps past a sequence's end.
  std::vector<double> norms;
};

// The calling thread works on this time step of a sequence while it lives: for whoever writes a loop over time of their own.
class TimeStep {
 public:
  explicit TimeStep(std::int64_t t);
  ~TimeStep();
  TimeStep(const TimeStep&) = delete;
  TimeStep& operator=(const TimeStep&) = delete;
  static std::int64_t now();  // -1: not within a sequence

 private:
  std::int64_t outer_;
};

// Where the first NaN or infinity came up, in the order of computing.
struct NonFinitePlace {
  enum class Pass { none, forward, backward } pass = Pass::none;
  std::string operation;   // as the profile names it: "lstm_gates", "recurrent", "linear dW"
  std::string scope;       // of the layer: "encoder/l1_reverse"; empty outside of all
  std::int64_t step = -1;  // time step within the sequence; -1: not within one, or all at once
  std::string gate;  // part of the operation's formula: "f", "exp(g)"; empty where there is but one
  std::string what;  // "its result float32[4, 8]"
  std::vector<std::int64_t> element;  // its place in that
  double value = 0;                   // NaN, or an infinity
  double largest_input = 0;           // the largest finite number that the operation was given
  // Where it was given, not calculated: a parameter, or a tensor that is none (data). Undefined: it was calculated.
  Var given;
  std::string parameter;  // the name of `given`, where nn::find_non_finite() knows it

  explicit operator bool() const { return pass != Pass::none; }
  // One sentence with all of it, and one with what to do next. "" where nothing was found.
  std::string str() const;
};

// What a tape made by Tape tape({.check_finite = true}) throws as soon as there is one.
class NonFiniteError : public Error {
 public:
  explicit NonFiniteError(NonFinitePlace found) : Error(found.str()), where(std::move(found)) {}
  NonFinitePlace where;
};

// Runs loss(), which returns a scalar Var, and its backward pass under such a tape, and says what it found. Adds nothing to
// any gradient. An infinity counts where it was made of finite numbers: constants such as a mask's -infinity do not.
// What loss() draws at random it draws anew: see nn::NotedRandoms. Cost: a training step without fusion of checks, some
// ten times slower than without.
NonFinitePlace find_non_finite(const std::function<Var()>& loss);

}  // namespace tapeloop
