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

class EdgeRows;
class Recurrence;

namespace of {

// Where an argument of a formula comes from. A source may be several arguments wide: 4 H columns
// are four arguments of H.
struct Source {
  // What it is. `made`: a value that the step has calculated already.
  enum class Kind {
    input,
    state,
    edge_state,
    unit,
    extra,
    product,
    layer_norm,
    edge_sum,
    sum,
    made
  };
  Kind kind = Kind::input;     // what it is
  int index = 0;               // states: the part; made: the value
  int predecessor = 0;         // state: of which predecessor; edge_state: of which table
  std::uint64_t maker = 0;     // made: the number of the Recurrence
  std::int64_t first = 0;      // the first of its columns that is read
  std::int64_t size = -1;      // how many are read; -1: to the last
  Var var;                     // unit, product: the parameter; extra: the values
  Var bias;                    // product, layer_norm: what is added, or undefined
  Var scale;                   // layer_norm: the factors, or undefined
  int groups = 1;              // layer_norm, product: of columns, each by itself
  double epsilon = 0;          // layer_norm: added to the variance
  bool mean = false;           // edge_sum: divided by the number of edges
  PoolVector<Source> parts{};  // product, layer_norm, edge_sum: what they read; sum: its terms

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
// The same in groups, such as the heads of a cell: a block-diagonal weight without its zeros.
//   w [B * X, X / groups], X columns of x
// The X rows of each of the B blocks are divided into groups as the columns of x are. A row reads
// the columns of its own group. Cost: that of the smaller weight.
Source product(const Var& w, Source x, const Var& bias, int groups);
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
// Part k of the state at the other end of each edge of a node: of a child, of a neighbour. `table`
// says which of the schedule's tables of edges (schedule.h) names that state. The value has a row
// for each edge. A formula or a product that reads it runs on edges, and its result has a row for
// each edge, too. Its other arguments, such as of::input(), are those of the edge's node.
Source edge_state(int k, int table = 0);
// Rows of edges, summed over the edges of each node: a value of nodes again. 0 for a node without
// edges.
Source sum_of_edges(Source x);
Source mean_of_edges(Source x);  // the mean, also 0 without edges
// The sum of products, sums of edges, at most one layer norm, and at most one other source.
Source operator+(Source a, Source b);

// What a formula calculates, in its order.
struct Results : PoolVector<Source> {
  using PoolVector<Source>::PoolVector;
  const Source& operator[](std::size_t i) const;  // throws Error if there is no result i
};

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

  // For a step of several formulas: adds one, and returns its results. Later formulas and products
  // may read them. After the last formula, next() says which values are the next state.
  //   Recurrence r;
  //   const auto s = r.stage(GruResetState{}, of::input(0, H) + of::product(w_r), of::state(0));
  //   const auto h = r.stage(GruUpdate{}, of::input(H, 2 * H) + ..., of::state(0));
  //   r.next({h[0]});
  template <class F, class... Sources>
  of::Results stage(const F& formula, const Sources&... arguments) {
    const of::Source* const list[] = {&arguments...};
    return results_of(add_formula(pointwise_kernel<F>(), detail::FormulaBytes(formula), list));
  }
  // A source that several formulas read, such as a product, as a value that is calculated once.
  of::Source value(const of::Source& source);
  // The parts of the next state, h first: results of formulas, products, layer norms or sums of
  // edges.
  void next(std::span<const of::Source> parts);
  void next(std::initializer_list<of::Source> parts) { next({parts.begin(), parts.size()}); }

  // --- for what changes a finished step, such as noise ---

  // The parts of the next state, so that next() can be called again with others made of them.
  PoolVector<of::Source> next_parts();
  // Products of part k of a state read F(part, other) in its place. The step calculates this F
  // first, so `other` must be given, such as of::extra().
  template <class F>
  void before_products(int k, const F& formula, const of::Source& other) {
    replace_operands(k, pointwise_kernel<F>(), detail::FormulaBytes(formula), {&other, 1});
  }
  // The same with a source for each block of `rows` rows of these products, such as the gates of a
  // cell: product_blocks(k, rows) of them, in the order of the products.
  template <class F>
  void before_products(int k, const F& formula, std::span<const of::Source> others,
                       std::int64_t rows) {
    divide_products(k, rows);
    replace_operands(k, pointwise_kernel<F>(), detail::FormulaBytes(formula), others);
  }
  // How many blocks of `rows` rows the products of part k of a state have. Throws if `rows` does
  // not divide them, or if other than a formula reads a product of several blocks.
  std::int64_t product_blocks(int k, std::int64_t rows) const;
  // Replaces a weight by another of its shape.
  void set_weight(std::size_t i, const Var& weight) { weights_[i] = weight; }

  bool defined() const { return !layout_.next.empty(); }
  int parts() const { return layout_.parts(); }  // K
  const char* name() const;                      // of the last formula

  // One step by ordinary operations: zx [N, columns] and K parts of the state -> the next K parts.
  // For a step with one predecessor and without edges. Extra values must be those of this step:
  // [1, N, size].
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
  of::Results results_of(const StepLayout::Operation& formula);
  of::Source made(const StepLayout::Columns& columns);
  void take_as_part(const StepLayout::Columns& part);
  void check_parts() const;
  void divide_products(int part, std::int64_t rows);
  void replace_operands(int part, const PointwiseKernel& kernel,
                        const detail::FormulaBytes& formula, std::span<const of::Source> others);
  void check_weights() const;  // throws if there are too many
  StepLayout::Columns columns_of(const of::Source& source);
  StepLayout::Columns sum_of(const of::Source& source);
  StepLayout::Columns products_of(std::span<const of::Source> terms, StepLayout::Columns add);
  StepLayout::Columns norm_of(const of::Source& source, StepLayout::Columns add);
  StepLayout::Columns edge_sum_of(const of::Source& source, StepLayout::Columns add);
  // The same columns with a row for each edge.
  StepLayout::Columns on_edges(StepLayout::Columns x);
  bool by_edge(const StepLayout::Columns& x) const;
  int given(StepLayout::From from, int index, int predecessor);
  int unit_of(const Var& parameter);
  StepLayout::Columns add_operation(StepLayout::Operation operation, bool by_edge);
  int new_value(StepLayout::From from, bool by_edge);
  void refuse_parameter(const StepLayout::Columns& x) const;
  void add_term(StepLayout::Operation& product, const of::Source& source, StepLayout::Columns x);

  StepLayout layout_;
  PoolVector<Var> weights_, units_;
  PoolVector<Tensor> extras_;
  std::uint64_t maker_ = 0;  // Source::maker of its values; 0: it has returned no value
};

namespace detail {
// One step on `rows` rows of one level, by ordinary operations. `values`: by their numbers in the
// layout; those of states are given. `extras` [rows, size]; `edges`: those of the level, if the
// step has edges. Sizes that do not fit throw.
PoolVector<Var> step_by_operations(const StepLayout& layout, const Recurrence& recurrence,
                                   const Var& input, PoolVector<Var> values,
                                   std::span<const Tensor> extras, const EdgeRows* edges,
                                   std::int64_t rows);
}  // namespace detail

}  // namespace tapeloop
