// SPDX-License-Identifier: MIT
// What a recurrent cell is, and the options that all cells share. Knows no cell: nn/cells has the
// built-in ones.
//   I input size, H hidden size, N batch.
#pragma once

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/recurrent.h"
#include "tapeloop/nn/layers/layers.h"
#include "tapeloop/nn/layers/module.h"
#include "tapeloop/nn/recurrent/noise.h"
#include "tapeloop/nn/recurrent/option_table.h"
#include "tapeloop/nn/recurrent/segments.h"
#include "tapeloop/nn/recurrent/state.h"

namespace tapeloop::nn {

// The outputs of a layer of a stack, made of the outputs y of its cells and its input x. If x and y
// have different sizes, they are y.
enum class Connection {
  plain,     // y
  residual,  // x + y
  highway    // t y + (1 - t) x, t = sigmoid(W x + b): Srivastava et al. 2015, arXiv:1505.00387
};

// Options of every cell, and of every stack of cells (recurrent.h). A kind of cell may have options
// of its own, the struct C::Options. They are given after the random numbers:
//   nn::Lstm lstm({.input = 16, .hidden = 64, .layers = 2}, random, {.projection = 32});
struct RecurrentOptions {
  std::int64_t input = 0;      // I
  std::int64_t hidden = 0;     // H
  int layers = 1;              // of a stack
  bool bidirectional = false;  // each layer also runs from the last step to the first
  // On the outputs of all layers but the last, so it has no effect with one layer. nn::Dropout
  // after the stack acts on the last layer's outputs.
  double dropout = 0;
  bool bias = true;                           // whether the cells have biases
  DType dtype = DType::float32;               // of the weights
  Connection connection = Connection::plain;  // of a stack's layers
  Noise noise = {};                           // in each layer and direction
  Recompute recompute = {};                   // for each layer and direction

  // Those that a text may set (choice/cell_choice.h). Sizes, types and memory are the program's.
  void visit(OptionTable& table) {
    table("layers", layers), table("bidirectional", bidirectional), table("dropout", dropout);
    table("bias", bias), table("connection", connection, {"plain", "residual", "highway"});
    table("noise", noise);
  }
};

// The options of a cell without any of its own.
struct NoOptions {};

namespace detail {
template <class C>
struct OptionsOfCell {
  using type = NoOptions;
};
template <class C>
requires requires { typename C::Options; }
struct OptionsOfCell<C> {
  using type = typename C::Options;
};
}  // namespace detail

// C::Options, or NoOptions if the cell has no such type.
template <class C>
using OptionsOf = typename detail::OptionsOfCell<C>::type;

// A cell: any struct with
//   C(const RecurrentOptions& options, Random& random);                      or, with Options,
//   C(const RecurrentOptions& options, Random& random, const Options& own);
//   using State = nn::State<K>;                          the parts of its state, h first
//   std::array<std::int64_t, K> state_sizes() const;     the sizes of the parts
// and one of
//   Recurrence recurrence() const;                       a step as data: sequence/recurrence.h
//   State step(const Var& x, const State& s) const;      any step: x [N, I] -> the next state
// If part of a step does not depend on the state, a cell has `Var input(const Var& x) const`. The
// library applies it to all time steps at once, row by row ([.., I] -> [.., columns]), and a step
// gets its result instead of x. recurrence() needs input(). A cell may have both recurrence() and
// step(): if its options do not allow a recurrence, recurrence() returns an undefined one.
// A cell may calculate a whole sequence by operations on all steps, such as linear_scan():
// `sequence`, see unroll.h. A cell may change the state that the user of a stack gives:
// `State initial(const State& given) const`.
// make_stepper() (stepper.h) asks a cell for the Linear that input() applies:
//   Linear input_projection() const;
// Zoneout (noise.h) acts on all parts of the state. A cell whose last parts are no memories, such
// as a count of steps, says how many parts are, h included. The others always take the new value:
//   static constexpr std::size_t zoned_parts = 1;
// A cell whose rows depend on each other, as batch normalisation makes them, refuses lengths and
// resets:
//   static constexpr bool mixes_rows = true;
template <class C>
concept HasInput = requires(const C& cell, const Var& x) {
  { cell.input(x) } -> std::same_as<Var>;
};
template <class C>
concept HasStep = requires(const C& cell, const Var& x, const typename C::State& state) {
  { cell.step(x, state) } -> std::same_as<typename C::State>;
};
template <class C>
concept HasRecurrence = HasInput<C> && requires(const C& cell) {
  { cell.recurrence() } -> std::same_as<Recurrence>;
};
template <class C>
concept HasInputProjection = requires(const C& cell) {
  { cell.input_projection() } -> std::same_as<Linear>;
};
template <class C>
concept Cell = (HasStep<C> || HasRecurrence<C>)&&requires(const C& cell) {
  { cell.state_sizes()[0] } -> std::convertible_to<std::int64_t>;
  {typename C::State()};
};

namespace detail {
template <class C>
bool mixes_rows(const C& cell) {
  if constexpr (requires { bool{C::mixes_rows}; }) {
    return C::mixes_rows;
  } else if constexpr (requires { cell.mixes_rows(); }) {  // as AnyCell has it
    return cell.mixes_rows();
  } else {
    return false;
  }
}
// Converts to a Tensor alone: a Tensor itself also becomes a Var.
struct OnlyTensor {
  operator const Tensor&() const;  // NOLINT(google-explicit-constructor)
};
// The parts of the state, from the first on, that zoneout acts on.
template <class C>
std::size_t zoned_parts(const C& cell) {
  if constexpr (requires { std::size_t{C::zoned_parts}; }) {
    static_assert(C::zoned_parts >= 1 && C::zoned_parts <= C::State::parts,
                  "zoned_parts: from 1 to the number of parts of the cell's state");
    return C::zoned_parts;
  } else if constexpr (requires { cell.zoned_parts(); }) {  // as AnyCell has it
    return cell.zoned_parts();
  } else {
    return cell.state_sizes().size();
  }
}
}  // namespace detail

// One-hot input by index: a cell may also take int64 symbols [...] instead of
// one-hot vectors [..., I].
template <class C>
concept HasSymbolInput = HasInput<C> && requires(const C& cell, const detail::OnlyTensor& symbols) {
  { cell.input(symbols) } -> std::same_as<Var>;
};

// Makes a cell, with its own options if it has some.
template <Cell C>
C make_cell(const RecurrentOptions& options, Random& random, const OptionsOf<C>& own = {}) {
  if constexpr (std::is_constructible_v<C, const RecurrentOptions&, Random&, const OptionsOf<C>&>) {
    return C(options, random, own);
  } else {
    return C(options, random);
  }
}

// One step of any cell, by ordinary operations. zx [N, ..] is cell.input(x), or x
// for a cell without input().
template <Cell C>
typename C::State step(const C& cell, const Var& zx, const typename C::State& state) {
  if constexpr (HasStep<C>) {
    return cell.step(zx, state);
  } else {
    return typename C::State(cell.recurrence().step(zx, state.all()));
  }
}

}  // namespace tapeloop::nn
