// SPDX-License-Identifier: MIT
// Cells on grids of 1 to 5 dimensions: Grid<Cell>, a stack of layers in any of the 2^D directions.
// A cell of a grid sees D predecessors, the neighbours before it along each dimension; outside of
// the grid they are external states. All cells at equal distance from the corner in which a
// direction starts run at once.
//   D dimensions, S_d sizes, N batch, I input size, H size of h, L layers, R directions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/sequence/level_states.h"
#include "tapeloop/nn/recurrent/cell.h"
#include "tapeloop/nn/structures/grid_schedules.h"
#include "tapeloop/nn/structures/predecessors.h"

namespace tapeloop::nn {

// Options of a cell on a grid, or of a stack of such cells.
struct GridOptions {
  std::int64_t input = 0;   // I
  std::int64_t hidden = 0;  // H
  int dimensions = 2;       // D
  // Each layer runs in each of these directions. A direction has a digit for each dimension: "01"
  // runs along dimension 0 from first to last, along dimension 1 from last to first. Empty: from
  // first to last along all. all_directions(D) has all.
  std::vector<std::string> directions = {};
  bool sum_directions = false;   // the outputs of the directions are added; else side by side
  int layers = 1;                // L
  double dropout = 0;            // on the outputs of all layers but the last
  bool bias = true;              // whether the cells have biases
  DType dtype = DType::float32;  // of the parameters
};

// "00", "01", "10", "11" for D = 2.
std::vector<std::string> all_directions(int D);

// A cell for grids: any struct with
//   using State = nn::State<K>;                          the parts of its state, h first
//   std::array<std::int64_t, K> state_sizes() const;     the sizes of the parts
// a constructor (const GridOptions&, Random&), and one of
//   Var input(const Var& x) const;                       the part of a step without the state, and
//   Recurrence recurrence() const;                       a step as data: of::state(k, d) is part k
//                                                        of the predecessor along dimension d
//   State step(const Var& x, const Predecessors<State>& before) const;    any step: x [rows, I]
//                                                        and the states of the D predecessors
// With step(), input() is optional, as for cells of sequences. A cell with settings of its own has
// `Options` and a constructor (const GridOptions&, Random&, const Options&).
template <class C>
concept HasGridStep = requires(const C& cell, const Var& x,
                               const Predecessors<typename C::State>& before) {
  { cell.step(x, before) } -> std::same_as<typename C::State>;
};
template <class C>
concept GridCell = (HasGridStep<C> || HasRecurrence<C>)&&requires(const C& cell) {
  { cell.state_sizes()[0] } -> std::convertible_to<std::int64_t>;
  {typename C::State()};
};

// The arguments of a call of a Grid, besides its input.
template <class S>
struct GridCall {
  // [N, D], row-major, each 0..S_d: the size of each sample, whose cells begin at index 0 of each
  // dimension. Outside of it ys is 0, and xs is not used: it may be NaN. Empty: samples fill the
  // grid.
  std::span<const std::int64_t> sizes = {};
  // [L * R], index layer * R + direction: the states outside of the grid. Each part is
  // [rows, size], with the rows of join_sides(). Undefined parts, or no states: zeros.
  std::span<const S> sides = {};
  bool all_parts = false;  // GridResult::states has all parts
};

// The result of a Grid.
template <class S>
struct GridResult {
  Var ys;                // [S_1, .., S_D, N, R*H], or [.., H] if directions are added
  PoolVector<S> states;  // with all_parts: [L * R] states of all cells, parts [S_1, .., N, size]
};

// The states on the D sides of a grid as one part of GridCall::sides. sides[d], [the sizes of the
// other dimensions.., N, size], are the states that the first cells along dimension d read.
Var join_sides(std::span<const Var> sides);

namespace detail {

// Throws unless a cell can be made with these options.
void check_grid_cell(const char* cell, const GridOptions& options);
void check_grid(const GridOptions& options);
// Throws unless xs is [rows, I] with N rows for each cell of the grid. Returns N.
std::int64_t grid_batch(const Var& xs, const Shape& sizes, int dimensions);
// The sizes S of xs [S_1, .., S_D, N, I].
Shape grid_sizes(const Var& xs, int dimensions);
void check_grid_built(bool built);
// Throws unless a part of the states outside of the grid is undefined or fits.
void check_outside(const Schedule& schedule, std::span<const Var> outside,
                   std::span<const std::int64_t> sizes);
// Throws unless the parts that step() returned are [nodes, size].
void check_step(std::span<const Var> made, std::int64_t nodes, std::span<const std::int64_t> sizes);
// The rows of each level.
PoolVector<Var> inputs_of_levels(const Schedule& schedule, const Var& inputs);
void check_sides(std::size_t given, std::size_t expected);
// The outputs of the directions side by side, or added.
Var joined_directions(std::span<const Var> outputs, bool sum);
// "_l0", "_l0_r01", "_l0_reverse".
std::string direction_suffix(int layer, const std::string& direction);

// All cells of a grid in one direction. xs [rows, I] -> K parts of the states [rows, size]; only h
// unless `all_parts`.
template <GridCell C>
PoolVector<Var> run_on_schedule(const C& cell, const Var& xs, const Schedule& schedule,
                                const typename C::State& sides, bool all_parts) {
  using State = typename C::State;
  const auto sizes = cell.state_sizes();
  Var inputs = to_nodes(schedule, xs);
  if constexpr (HasInput<C>) inputs = cell.input(inputs);
  PoolVector<Var> parts;
  if constexpr (HasRecurrence<C>) {
    RecurrentResult result = recurrent(cell.recurrence(), std::move(inputs), sides.all(), sizes,
                                       schedule, {.all_parts = all_parts});
    parts = all_parts ? std::move(result.states) : PoolVector<Var>{result.hs};
  } else {
    check_outside(schedule, sides.all(), sizes);
    tapeloop::detail::LevelStates states(schedule, sides.all(), sizes, inputs.dtype(),
                                         inputs.device());
    const PoolVector<Var> of_levels = inputs_of_levels(schedule, inputs);
    PoolVector<State> before(static_cast<std::size_t>(schedule.slots()));
    for (std::int64_t l = 0; l < schedule.levels(); ++l) {
      for (std::size_t p = 0; p < before.size(); ++p) {
        for (std::size_t k = 0; k < State::parts; ++k)
          before[p][k] = states.slot(l, static_cast<int>(p), k);
      }
      const State next =
          cell.step(of_levels[static_cast<std::size_t>(l)], Predecessors<State>(before));
      check_step(next.all(), schedule.level(l).count, sizes);
      states.add_level(next.all());
    }
    for (std::size_t k = 0; k < (all_parts ? State::parts : 1); ++k)
      parts.push_back(schedule.levels() > 0
                          ? states.of_nodes(k)
                          : Var(Tensor::zeros({0, sizes[k]}, inputs.dtype(), inputs.device())));
  }
  for (Var& part : parts) part = from_nodes(schedule, part);
  return parts;
}

}  // namespace detail

// A stack of layers of cells on a grid. Layer k + 1 reads the outputs of layer k. Parameters have
// the names of the cell with a suffix: _l0 for the direction of zeros, _l0_r01 for "01", _l1, ...;
// with one dimension _l0_reverse.
template <GridCell C>
class Grid {
 public:
  using State = typename C::State;
  using Options = OptionsOf<C>;

  Grid() = default;
  // `own`: settings of the cell. Throws if an option does not fit.
  Grid(const GridOptions& options, Random& random, const Options& own = {}) : options_(options) {
    detail::check_grid(options);
    if (options_.directions.empty()) {
      options_.directions = {std::string(static_cast<std::size_t>(options.dimensions), '0')};
    }
    for (int layer = 0; layer < options.layers; ++layer) {
      for (std::size_t r = 0; r < options_.directions.size(); ++r) {
        GridOptions of_cell = options_;
        if (layer > 0) of_cell.input = output_size();
        if constexpr (std::is_same_v<Options, NoOptions>) {
          cells_.emplace_back(of_cell, random);
        } else {
          cells_.emplace_back(of_cell, random, own);
        }
      }
    }
    dropout_ = Dropout(options.dropout, random);
    schedules_ = std::make_shared<detail::GridSchedules>(options_.directions);
  }

  // xs [S_1, .., S_D, N, I]. The Grid keeps the schedules of the last four kinds of batches, so a
  // batch of known sizes allocates nothing. Throws if shapes do not fit.
  GridResult<State> operator()(const Var& xs, const GridCall<State>& call = {}) const {
    const Shape sizes = detail::grid_sizes(xs, options_.dimensions);
    const std::int64_t n = xs.dim(-2);
    GridResult<State> result = rows(reshape(xs, Shape{sizes.numel() * n, xs.dim(-1)}), sizes, call);
    const auto in_grid = [&](const Var& part) {
      Shape shape = xs.shape();
      shape[shape.rank() - 1] = part.dim(-1);
      return reshape(part, shape);
    };
    result.ys = in_grid(result.ys);
    for (State& state : result.states) {
      for (std::size_t k = 0; k < State::parts; ++k) state[k] = in_grid(state[k]);
    }
    return result;
  }
  // The same on rows: xs [S_1 * .. * S_D * N, I] of a grid with these sizes. The results have as
  // many rows. Five dimensions need it, because a tensor has at most six axes.
  GridResult<State> rows(const Var& xs, const Shape& sizes,
                         const GridCall<State>& call = {}) const {
    detail::check_grid_built(!cells_.empty());
    const std::int64_t n = detail::grid_batch(xs, sizes, options_.dimensions);
    if (!call.sides.empty()) {
      detail::check_sides(call.sides.size(), cells_.size());
    }
    const PoolVector<Schedule> schedules = schedules_->get(sizes, n, call.sizes);
    GridResult<State> result;
    Var below = xs;
    for (std::size_t i = 0; i < cells_.size();) {
      PoolVector<Var> outputs;
      const int layer = static_cast<int>(i / schedules.size());
      for (std::size_t r = 0; r < schedules.size(); ++r, ++i) {
        const Scope scope(detail::direction_suffix(layer, options_.directions[r]).substr(1));
        const PoolVector<Var> parts =
            detail::run_on_schedule(cells_[i], below, schedules[r],
                                    call.sides.empty() ? State() : call.sides[i], call.all_parts);
        outputs.push_back(parts[0]);
        if (call.all_parts) result.states.push_back(State(std::span<const Var>(parts)));
      }
      below = detail::joined_directions(outputs, options_.sum_directions);
      if (layer + 1 < options_.layers) below = dropout_(below);
    }
    result.ys = below;
    return result;
  }

  // The size of the last axis of ys.
  std::int64_t output_size() const {
    detail::check_grid_built(!cells_.empty());
    const auto count = static_cast<std::int64_t>(options_.directions.size());
    return cells_[0].state_sizes()[0] * (options_.sum_directions ? 1 : count);
  }
  // Index layer * R + direction.
  const std::vector<C>& cells() const { return cells_; }
  // As given to the constructor; `directions` has at least one.
  const GridOptions& options() const { return options_; }

  void visit(Visitor& v) const {
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      const std::size_t count = options_.directions.size();
      v.suffixed(
          detail::direction_suffix(static_cast<int>(i / count), options_.directions[i % count]),
          cells_[i]);
    }
    if (options_.layers > 1 && options_.dropout > 0) v("dropout", dropout_);
  }

 private:
  GridOptions options_;
  std::vector<C> cells_;
  Dropout dropout_;
  std::shared_ptr<detail::GridSchedules> schedules_;
};

}  // namespace tapeloop::nn
