// SPDX-License-Identifier: MIT
// Recurrence: one step of a recurrent cell as data. It names a formula and says where each of its
// arguments comes from:
//   Recurrence(LstmGates{}, of::input() + of::product(w_hh), of::state(1))
// means  h', c' = LstmGates(z, c)  with  z = input + w_hh h,  whose columns are the gates i f g o.
//   N rows (batch), H hidden units, G gates,
//   K parts of the state s = (h, c, ...), each [N, size].
#pragma once

#include <initializer_list>
#include <span>

#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/schedule/step_layout.h"

namespace tapeloop {

class Recurrence;

namespace of {

// Where an argument of a formula comes from. It may be several arguments wide: 4 H columns are four
// arguments of H.
struct Source {
  // What it is. `made`: a value that the step has calculated already.
  enum class Kind { input, state, unit, extra, product, layer_norm, sum, made };
  Kind kind = Kind::input;     // what it is
  int index = 0;               // state: the part; made: the value
  int predecessor = 0;         // state: of which predecessor
  std::uint64_t maker = 0;     // made: the number of the Recurrence
  std::int64_t first = 0;      // the first of its columns that is read
  std::int64_t size = -1;      // how many are read; -1: to the last
  Var var;                     // unit, product: the parameter; extra: the values
  Var bias;                    // product, layer_norm: what is added, or undefined
  Var scale;                   // layer_norm: the factors, or undefined
  int groups = 1;              // layer_norm: of columns, each normalised by itself
  double epsilon = 0;          // layer_norm: added to the variance
  PoolVector<Source> parts{};  // product, layer_norm: what they read; sum: its terms

  // Columns first .. first + size - 1 of this source.
  Source columns(std::int64_t from, std::int64_t count) const;
};

// What the cell's input() made of x, or some of its columns.
Source input();
Source input(std::int64_t first, std::int64_t size);
// Part k of the state before the step. A cell of a grid, a tree or a graph has several
// predecessors; `predecessor` says which one.
Source state(int k, int predecessor = 0);
// w x + bias. w [columns, size of x]; bias [columns] or undefined. Without x: h of the state.
Source product(const Var& w);
Source product(const Var& w, Source x);
Source product(const Var& w, Source x, const Var& bias);
// A parameter [H], or [G*H] for G arguments, that is the same for all rows: a peephole weight, a
// diagonal recurrence.
Source unit(const Var& parameter);
// Values [T, N, size] (or [nodes, size]) without a gradient, such as a mask.
Source extra(const Tensor& values);
// scale (x - mean) / sqrt(variance + epsilon) + bias. Mean and variance are those of all columns of
// x, or of each of `groups` equal groups. scale, bias: [columns of x], or undefined. Ba et al.
// 2016, arXiv:1607.06450
Source layer_norm(Source x, const Var& scale, const Var& bias, int groups = 1,
                  double epsilon = 1e-5);
// The sum of products and of at most one other source.
Source operator+(Source a, Source b);

}  // namespace of

// Cheap to make; a cell makes one for each call. At most 16 weights.
class Recurrence {
 public:
  Recurrence() = default;  // undefined
  // One formula. Its results are the parts of the next state, h first.
  template <class F, class... Sources>
  requires(sizeof...(Sources) > 0) Recurrence(const F& formula, const Sources&... arguments) {
    const of::Source* const list[] = {&arguments...};
    set_only_formula(pointwise_kernel<F>(), detail::FormulaBytes(formula), list);
  }

  // A step of several formulas: calculates one, and returns its results, which later formulas and
  // products may read. Then next() says which values are the next state.
  //   Recurrence r;
  //   const auto s = r.stage(GruResetState{}, of::input(0, H) + of::product(w_r), of::state(0));
  //   const auto h = r.stage(GruUpdate{}, of::input(H, 2 * H) + ..., of::state(0));
  //   r.next({h[0]});
  template <class F, class... Sources>
  PoolVector<of::Source> stage(const F& formula, const Sources&... arguments) {
    const of::Source* const list[] = {&arguments...};
    return results_of(add_formula(pointwise_kernel<F>(), detail::FormulaBytes(formula), list));
  }
  // A value that several formulas read, such as a product: calculated once.
  of::Source value(const of::Source& source);
  // The parts of the next state, h first: results of formulas, products or layer norms.
  void next(std::span<const of::Source> parts);
  void next(std::initializer_list<of::Source> parts) { next({parts.begin(), parts.size()}); }

  bool defined() const { return !layout_.next.empty(); }
  int parts() const { return layout_.parts(); }  // K
  const char* name() const;                      // of the last formula

  // One step by ordinary operations: zx [N, columns] and K parts of the state -> the next K parts.
  // For a step with one predecessor and without of::extra().
  PoolVector<Var> step(const Var& zx, std::span<const Var> state) const;

  // --- for recurrent() and the Stepper ---
  const StepLayout& layout() const { return layout_; }
  const PoolVector<Var>& weights() const { return weights_; }
  const PoolVector<Var>& units() const { return units_; }
  const PoolVector<Tensor>& extras() const { return extras_; }
  // Fills in all sizes of the layout. Throws if they do not fit.
  void resolve(std::int64_t input_size, std::span<const std::int64_t> state_sizes);

 private:
  void set_only_formula(const PointwiseKernel& kernel, const detail::FormulaBytes& formula,
                        std::span<const of::Source* const> arguments);
  const StepLayout::Operation& add_formula(const PointwiseKernel& kernel,
                                           const detail::FormulaBytes& formula,
                                           std::span<const of::Source* const> arguments);
  PoolVector<of::Source> results_of(const StepLayout::Operation& formula);
  of::Source made(const StepLayout::Columns& columns);
  void take_as_part(const StepLayout::Columns& part);
  void check_parts() const;
  StepLayout::Columns columns_of(const of::Source& source);
  StepLayout::Columns sum_of(const of::Source& source);
  StepLayout::Columns norm_of(const of::Source& source, StepLayout::Columns add);
  int given(StepLayout::From from, int index, int predecessor);
  int unit_of(const Var& parameter);
  int new_value(StepLayout::From from);
  void refuse_parameter(const StepLayout::Columns& x) const;
  void add_term(StepLayout::Operation& product, const of::Source& source);

  StepLayout layout_;
  PoolVector<Var> weights_, units_;
  PoolVector<Tensor> extras_;
  std::uint64_t maker_ = 0;  // Source::maker of this Recurrence's values; 0: none were given out
};

namespace detail {
// One step on rows of one level, by ordinary operations. `values`: by their numbers in the layout;
// those of states are given. `extras` [rows, size]. Sizes that do not fit throw.
PoolVector<Var> step_by_operations(const StepLayout& layout, const Recurrence& recurrence,
                                   const Var& input, PoolVector<Var> values,
                                   std::span<const Tensor> extras);
}  // namespace detail

}  // namespace tapeloop
