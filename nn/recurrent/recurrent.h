// SPDX-License-Identifier: MIT
// Recurrent<Cell>: a stack of layers of any cell, in one or two directions.
//   T time steps, N batch, I input size, H output size, L layers, D directions (1 or 2). Row-major.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/nn/recurrent/unroll.h"

namespace tapeloop::nn {

namespace detail {

void check_stack(const RecurrentOptions& options);
// The gate of a highway, if the layer's input and output have the same size.
Linear highway_of(const RecurrentOptions& options, std::int64_t input, std::int64_t output,
                  Random& random);
// The outputs of a layer: y, x + y, or a mixture of both.
Var connected(Connection connection, const Var& x, const Var& y, const Linear& highway);
// The names of the gate's weights: highway.weight_l0.
struct Highway {
  const Linear& gate;
  void visit(Visitor& v) const { v("highway", gate); }
};
void check_built(bool built);
void check_symbols(const Tensor& symbols, std::span<const std::int64_t> lengths,
                   std::span<const std::uint8_t> begins, const RecurrentOptions& options);
// Symbols [T, N] with 0 past the ends of sequences.
Tensor symbols_without_padding(const Tensor& symbols, std::span<const std::int64_t> lengths);
// The resets of the reverse direction, if `begins` [T, N] says where new sequences begin: there a
// sequence ends, so the step before starts again.
PoolVector<std::uint8_t> reverse_resets(std::span<const std::uint8_t> begins, std::int64_t n);
Var part_of_state(const Var& part, std::int64_t index, std::int64_t count, std::int64_t n,
                  std::int64_t size);

}  // namespace detail

// A stack of cells: layer k + 1 reads the outputs of layer k, both directions side by side if there
// are two. Parameters have PyTorch's names: weight_ih_l0, weight_ih_l0_reverse, weight_ih_l1, ...
template <Cell C>
class Recurrent {
 public:
  using State = typename C::State;
  using Options = OptionsOf<C>;  // the cell's options besides RecurrentOptions

  Recurrent() = default;
  // `own`: options of this kind of cell.
  Recurrent(const RecurrentOptions& options, Random& random, const Options& own = {})
      : options_(options) {
    detail::check_stack(options);
    for (int layer = 0; layer < options.layers; ++layer) {
      for (int direction = 0; direction < directions(); ++direction) {
        RecurrentOptions sizes = options;
        if (layer > 0) sizes.input = directions() * cells_[0].state_sizes()[0];
        cells_.push_back(make_cell<C>(sizes, random, own));
        if (direction + 1 < directions()) continue;
        highways_.push_back(detail::highway_of(options, sizes.input, output_size(), random));
      }
    }
    dropout_ = Dropout(options.dropout, random);
    if (options.noise.wanted()) {
      detail::check_noise_of(cells_[0], options.noise);
      noise_ = random.split();
    }
  }

  // xs [T, N, I] -> ys [T, N, D*H] and the last state, each part [L*D, N, size], index layer * D +
  // direction. The initial state has the same shape; lengths as in UnrollOptions. begins: [T, N],
  // row-major; where it is not 0, a new sequence begins within the row, as an episode or a document
  // does. It starts from the initial state, and nothing crosses the border, in both directions.
  Unrolled<State> operator()(const Var& xs, const State& initial = {},
                             std::span<const std::int64_t> lengths = {},
                             std::span<const std::uint8_t> begins = {}) const {
    const UnrollOptions options = options_of(lengths, begins);
    detail::check_sequence(xs, options);
    // A connection reads xs, so its padding must not be NaN.
    const Var below = options_.connection == Connection::plain
                          ? xs
                          : detail::Masks(lengths, xs).without_padding(xs);
    return run(below, xs.dim(1), initial, options,
               [&](const C& cell, const State& start, const UnrollOptions& own) {
                 return unroll_noisy(cell, below, start, own);
               });
  }
  // The same for one-hot vectors of size I, given as symbols [T, N] (int64). With lengths, symbols
  // past the end of a sequence may be any numbers. A float tensor is xs.
  Unrolled<State> operator()(
      const Tensor& xs, const State& initial = {}, std::span<const std::int64_t> lengths = {},
      std::span<const std::uint8_t> begins = {}) const requires HasSymbolInput<C> {
    if (xs.dtype() != DType::int64) return (*this)(Var(xs), initial, lengths, begins);
    detail::check_symbols(xs, lengths, begins, options_);
    const Tensor symbols = detail::symbols_without_padding(xs, lengths);
    return run(Var(), xs.dim(1), initial, options_of(lengths, begins),
               [&](const C& cell, const State& start, UnrollOptions own) {
                 Var zx = cell.input(symbols);
                 draw_noise(cell, zx, own);
                 return unroll(cell, Projected{std::move(zx)}, start, own);
               });
  }

  // D: 2 if bidirectional, else 1.
  int directions() const { return options_.bidirectional ? 2 : 1; }
  // D * size of h.
  std::int64_t output_size() const { return directions() * state_sizes()[0]; }
  // Index layer * D + direction.
  const std::vector<C>& cells() const { return cells_; }
  // As given to the constructor.
  const RecurrentOptions& options() const { return options_; }

  void visit(Visitor& v) const {
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      std::size_t d = static_cast<std::size_t>(directions());
      v.suffixed("_l" + std::to_string(i / d) + (i % d == 1 ? "_reverse" : ""), cells_[i]);
    }
    for (std::size_t layer = 0; layer < highways_.size(); ++layer) {
      v.suffixed("_l" + std::to_string(layer), detail::Highway{highways_[layer]});
    }
    if (options_.layers > 1 && options_.dropout > 0) v("dropout", dropout_);
    if (options_.noise.wanted()) v("noise", noise_);
  }

 private:
  // `first` unrolls a cell of the first layer on the caller's input; other layers read the layer
  // below. `below` is what the connection of the first layer reads, undefined if it is plain; n: N.
  template <class First>
  Unrolled<State> run(Var below, std::int64_t n, const State& initial, UnrollOptions options,
                      First first) const {
    const auto sizes = state_sizes();
    detail::check_parts(initial.all().size(), sizes.size(), "recurrent");
    PoolVector<State> last(cells_.size());
    const auto begins = options.resets;
    PoolVector<std::uint8_t> ends;
    if (options_.bidirectional) ends = detail::reverse_resets(begins, n);
    for (int layer = 0; layer < options_.layers; ++layer) {
      PoolVector<Var> outputs;
      for (int direction = 0; direction < directions(); ++direction) {
        const std::size_t i = static_cast<std::size_t>(layer * directions() + direction);
        const Scope scope("l" + std::to_string(layer) + (direction == 1 ? "_reverse" : ""));
        State start;
        for (std::size_t k = 0; k < sizes.size(); ++k) {
          if (!initial[k].defined()) continue;
          start[k] = detail::part_of_state(initial[k], static_cast<std::int64_t>(i),
                                           static_cast<std::int64_t>(cells_.size()), n, sizes[k]);
        }
        if constexpr (requires { cells_[i].initial(start); }) start = cells_[i].initial(start);
        options.reverse = direction == 1;
        options.resets = options.reverse ? std::span<const std::uint8_t>(ends) : begins;
        auto [ys, end] = layer == 0 ? first(cells_[i], start, options)
                                    : unroll_noisy(cells_[i], below, start, options);
        outputs.push_back(ys);
        last[i] = end;
      }
      const Var ys = outputs.size() == 1 ? outputs[0] : concat(outputs, -1);
      below = detail::connected(options_.connection, below, ys,
                                highways_[static_cast<std::size_t>(layer)]);
      if (layer + 1 < options_.layers) below = dropout_(below);
    }
    State stacked;
    for (std::size_t k = 0; k < sizes.size(); ++k) {
      PoolVector<Var> parts;
      for (const State& state : last) parts.push_back(state[k]);
      stacked[k] = stack(parts);
    }
    return {below, stacked};
  }

  UnrollOptions options_of(std::span<const std::int64_t> lengths,
                           std::span<const std::uint8_t> resets) const {
    UnrollOptions options;
    options.lengths = lengths;
    options.resets = resets;
    options.recompute = options_.recompute;
    options.caller = "recurrent";
    return options;
  }

  Unrolled<State> unroll_noisy(const C& cell, const Var& xs, const State& start,
                               UnrollOptions options) const {
    draw_noise(cell, xs, options);
    return unroll(cell, xs, start, options);
  }

  // xs: what the cell reads, or the projection of that.
  void draw_noise(const C& cell, const Var& xs, UnrollOptions& options) const {
    if (!options_.noise.wanted()) return;
    const auto sizes = cell.state_sizes();
    // Only masks of weights, or of gates apart, need the step.
    const bool needed = options_.noise.weights != 0 || options_.noise.untied;
    const Recurrence recurrence = needed ? detail::recurrence_of(cell) : Recurrence();
    options.noise = detail::draw_noise(options_.noise, recurrence, sizes, detail::zoned_parts(cell),
                                       xs, noise_);
  }

  auto state_sizes() const {  // the same in all cells
    detail::check_built(!cells_.empty());
    return cells_[0].state_sizes();
  }

  RecurrentOptions options_;
  std::vector<C> cells_;
  std::vector<Linear> highways_;  // one for each layer; without weights if there is none
  Dropout dropout_;
  mutable Random noise_;
};

}  // namespace tapeloop::nn
