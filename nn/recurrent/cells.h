// SPDX-License-Identifier: MIT
// The built-in recurrent cells: RNN, LSTM, GRU. Each has its parameters, an input projection and
// one step, made of products and of the formulas of gates.h. They use only public functions. A
// user's cell looks the same and runs in the same way. Names, shapes, gate orders and initial
// values are PyTorch's.
//   I input size, H hidden size, N batch.
#pragma once

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/recurrent.h"
#include "tapeloop/nn/layers/layers.h"
#include "tapeloop/nn/layers/module.h"
#include "tapeloop/nn/recurrent/gates.h"
#include "tapeloop/nn/recurrent/segments.h"
#include "tapeloop/nn/recurrent/state.h"

namespace tapeloop::nn {

// The function of an RnnCell.
enum class Nonlinearity { tanh, relu };
// The reset gate acts after the recurrent product (PyTorch) or before it.
enum class GruReset { after, before };

// Options of a cell, or of a stack of cells (recurrent.h). A cell throws if an
// option does not apply to it.
struct RecurrentOptions {
  std::int64_t input = 0;      // I
  std::int64_t hidden = 0;     // H
  int layers = 1;              // of a stack
  bool bidirectional = false;  // each layer also runs from the last step to the first
  // On the outputs of all layers but the last, so it has no effect with one layer. nn::Dropout
  // after the stack acts on the last layer's outputs.
  double dropout = 0;
  bool bias = true;  // whether the cells have biases
  // LSTM: h is projected to this size; 0: no projection. Sak et al. 2014.
  std::int64_t projection = 0;
  Nonlinearity nonlinearity = Nonlinearity::tanh;  // RNN
  GruReset reset = GruReset::after;                // GRU
  DType dtype = DType::float32;                    // of the weights
  Recompute recompute = {};                        // for each layer and direction

  std::int64_t outputs() const { return projection > 0 ? projection : hidden; }  // the size of h
};

// A cell: any struct with
//   using State = nn::State<K>;                          the parts of its state, h first
//   std::array<std::int64_t, K> state_sizes() const;     the sizes of the parts
// and one of
//   Recurrence recurrence() const;                       a step as data: sequence/recurrence.h
//   State step(const Var& x, const State& s) const;      any step: x [N, I] -> the next state
// If part of a step does not depend on the state: `Var input(const Var& x) const`. It is applied to
// all time steps at once, row by row ([.., I] -> [.., columns]), and a step gets its result instead
// of x. recurrence() needs it. A cell may have both recurrence() and step(): if its options do not
// allow a recurrence, recurrence() returns an undefined one. For make_stepper() (stepper.h) a cell
// gives what input() applies:
//   Linear input_projection() const;
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

// One-hot input by index: a cell may also take int64 symbols [...] instead of
// one-hot vectors [..., I].
template <class C>
concept HasSymbolInput = HasInput<C> && requires(const C& cell, const Tensor& symbols) {
  { cell.input(symbols) } -> std::same_as<Var>;
};

// The four weights that the built-in cells share, for G gates: x W_ih^T + b_ih and h W_hh^T + b_hh.
struct GateWeights {
  Var weight_ih;  // [G*H, I]
  Var weight_hh;  // [G*H, H], or [G*H, P] if h is projected to P
  Var bias_ih;    // [G*H], undefined without biases
  Var bias_hh;    // [G*H]
  GateWeights() = default;
  GateWeights(const char* cell, int gates, const RecurrentOptions& options, Random& random);
  void visit(Visitor& v) const {
    v("weight_ih", weight_ih);
    v("weight_hh", weight_hh);
    v("bias_ih", bias_ih);
    v("bias_hh", bias_hh);
  }
  // x W_ih^T + b_ih, and + b_hh if with_both_biases.
  Var input(const char* cell, const Var& x, bool with_both_biases) const;
  // What input() applies: the shared weight, and the bias.
  Linear input_projection(bool with_both_biases) const;
  // input() for one-hot x, given as symbols: looks up rows of W_ih^T instead of a
  // product. Cost: one copy of W_ih.
  Var input(const char* cell, const Tensor& symbols, bool with_both_biases) const;

 private:
  Var input_bias(bool with_both_biases) const;
};

// The simple recurrent cell of Elman 1990: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu.
struct RnnCell {
  using State = nn::State<1>;
  GateWeights w;                                   // G = 1
  Nonlinearity nonlinearity = Nonlinearity::tanh;  // of h'
  RnnCell() = default;
  RnnCell(const RecurrentOptions& options, Random& random);
  std::array<std::int64_t, 1> state_sizes() const { return {w.weight_hh.dim(1)}; }
  Var input(const Var& x) const { return w.input("rnn", x, true); }
  Var input(const Tensor& symbols) const { return w.input("rnn", symbols, true); }
  Linear input_projection() const { return w.input_projection(true); }
  // h' = tanh(zx + W_hh h), or relu
  Recurrence recurrence() const {
    const auto z = of::input() + of::product(w.weight_hh);
    return nonlinearity == Nonlinearity::tanh ? Recurrence(ElmanTanh{}, z)
                                              : Recurrence(ElmanRelu{}, z);
  }
  State step(const Var& zx, const State& s) const;
  void visit(Visitor& v) const { w.visit(v); }
};

// The LSTM cell: LstmGates of a linear function of x and h. Its state is h and c.
struct LstmCell {
  using State = nn::State<2>;
  GateWeights w;  // G = 4, in the order i f g o
  Var weight_hr;  // [P, H], undefined without a projection
  LstmCell() = default;
  LstmCell(const RecurrentOptions& options, Random& random);
  std::array<std::int64_t, 2> state_sizes() const {
    return {w.weight_hh.dim(1), w.weight_hh.dim(0) / 4};
  }
  Var input(const Var& x) const { return w.input("lstm", x, true); }
  Var input(const Tensor& symbols) const { return w.input("lstm", symbols, true); }
  Linear input_projection() const { return w.input_projection(true); }
  // m, c' = LstmGates(zx + W_hh h, c); h' = m, or W_hr m with a projection
  Recurrence recurrence() const;
  State step(const Var& zx, const State& s) const;
  void visit(Visitor& v) const {
    w.visit(v);
    v("weight_hr", weight_hr);
  }
};

// The GRU cell: GruGates, or GruResetState and GruUpdate if `reset` is before.
struct GruCell {
  using State = nn::State<1>;
  GateWeights w;                     // G = 3, in the order r z n
  GruReset reset = GruReset::after;  // where the reset gate acts
  GruCell() = default;
  GruCell(const RecurrentOptions& options, Random& random);
  std::array<std::int64_t, 1> state_sizes() const { return {w.weight_hh.dim(1)}; }
  Var input(const Var& x) const { return w.input("gru", x, reset == GruReset::before); }
  Var input(const Tensor& symbols) const {
    return w.input("gru", symbols, reset == GruReset::before);
  }
  Linear input_projection() const { return w.input_projection(reset == GruReset::before); }
  // h' = GruGates(zx, W_hh h + b_hh, h). With reset before: s = GruResetState(z_r, h), then
  // h' = GruUpdate(z_z, zx_n + W_n s, h)
  Recurrence recurrence() const;
  State step(const Var& zx, const State& s) const;
  void visit(Visitor& v) const { w.visit(v); }
};

}  // namespace tapeloop::nn
