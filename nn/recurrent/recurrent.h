// SPDX-License-Identifier: MIT
// Cells over time: unroll() for any cell, and Recurrent<Cell>, a stack of layers
// in one or two directions.
//   T time steps, N batch, I input size, H output size, L layers, D directions (1 or 2). Row-major.
// Sequences of different lengths are masked. Results are those of PyTorch's packed sequences.
#pragma once

#include <algorithm>
#include <optional>
#include <span>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/look/sequence_part.h"
#include "tapeloop/nn/layers/layers.h"
#include "tapeloop/nn/recurrent/cells.h"

namespace tapeloop::nn {

// The result of unroll(): the outputs of all steps, and the state after the last one.
//   auto [ys, last] = unroll(...);
template <class S>
struct Unrolled {
  Var ys;  // [T, N, H]
  S last;  // [N, size] for each part
};

struct UnrollOptions {
  bool reverse = false;  // from the last step to the first; ys stay aligned with the input
  // [N], each 0..T: the number of steps of each sequence. Empty: all T.
  std::span<const std::int64_t> lengths = {};
  // Steps that are calculated again instead of stored. The cell must then
  // outlive the backward pass.
  Recompute recompute = {};
  // --- for the library itself ---
  tapeloop::detail::SequencePart part = {};  // unroll() gives it to the parts of a sequence
  const char* caller = "unroll";             // the function that errors name
};

// The result of cell.input(xs), [T, N, ...], as an argument: unroll(cell, Projected{zx}).
struct Projected {
  Var zx;  // [T, N, G*H] for a built-in cell
};

namespace detail {

// Masks of the sequences that run at each step: [N, 1] of 1 and 0 for step t; undefined if all run.
class Masks {
 public:
  Masks(std::span<const std::int64_t> lengths, const Var& xs);
  Var at(std::int64_t t) const;
  // x where `running` is 1, else 0, even if x is NaN there.
  Var or_zero(const Var& running, const Var& x) const { return select(running, x, zero_); }
  // xs with 0 past the ends of sequences: 0 * NaN would be NaN in the gradients of the weights.
  Var without_padding(const Var& xs) const {
    return running_.defined() ? or_zero(Var(running_), xs) : xs;
  }

 private:
  std::int64_t all_running_until_;  // the shortest length
  Tensor running_;                  // [T, N, 1], undefined if all sequences have T steps
  Var zero_;
};

Tensor zero_state(const Var& xs, std::int64_t size);
// Throws unless xs is [T, N, I], and there are no lengths, or one in 0..T for each sequence.
void check_sequence(const Var& xs, const UnrollOptions& options);
void check_symbols(const Tensor& symbols);
void check_state(const Var& part, std::size_t index, std::int64_t n, std::int64_t size,
                 const char* caller);
// True if steps run in segments, which the backward pass calculates again.
bool runs_in_segments(const UnrollOptions& options);
void check_stack(const RecurrentOptions& options);
void check_built(bool built);
Var part_of_state(const Var& part, std::int64_t index, std::int64_t count, std::int64_t n,
                  std::int64_t size);

// Replaces undefined parts by zeros; throws if other parts do not fit.
template <class C>
void complete_state(const C& cell, const Var& xs, typename C::State& state,
                    const UnrollOptions& options = {}) {
  const auto sizes = cell.state_sizes();
  for (std::size_t k = 0; k < C::State::parts; ++k) {
    if (!state[k].defined()) state[k] = Var(zero_state(xs, sizes[k]));
    check_state(state[k], k, xs.dim(1), sizes[k], options.caller);
  }
}

// Chooses the number of steps in a segment, for xs and this state: the number from the options, or
// by the memory of a few steps. run(xs, state, lengths) -> ys.
template <class S, class Run>
std::int64_t segment_steps(const Var& xs, const S& state, const UnrollOptions& options, Run run) {
  const Recompute& recompute = options.recompute;
  check_recompute(recompute);
  const std::int64_t t = xs.dim(0);
  if (recompute.steps > 0 || t == 0) return recompute.steps;
  const std::int64_t few = std::min<std::int64_t>(t, 4), more = std::min<std::int64_t>(t, 12);
  const auto bytes_of = [&](std::int64_t count) {
    // The values of `lengths` must not matter: all steps are masked.
    PoolVector<std::int64_t> lengths(options.lengths.size(), count);
    if (!lengths.empty()) lengths[0] = 0;
    return bytes_of_run(slice(xs.detach(), 0, 0, count),
                        [&](const Var& x) { return run(x, state.detach(), lengths); });
  };
  const RunBytes low = bytes_of(few), high = bytes_of(more);
  UnrollBytes bytes{};
  bytes.per_step = std::max<std::int64_t>(
      1, more > few ? (high.peak - low.peak) / (more - few) : high.peak / few);
  bytes.fixed = low.weights + std::max<std::int64_t>(0, low.peak - few * bytes.per_step);
  for (const Var& part : state) bytes.per_boundary += part.numel() * size_of(part.dtype());
  bytes.results = t * xs.dim(1) * state.h().dim(1) * size_of(xs.dtype());
  if (xs.requires_grad()) bytes.results += 2 * xs.numel() * size_of(xs.dtype());
  return fitting_steps(t, xs.dim(1), xs.device(), bytes, recompute.fit_mib);
}

// unroll() in segments; run(xs, state, options) -> Unrolled calculates one segment.
template <class C, class Run>
Unrolled<typename C::State> unroll_in_segments(const C& cell, const Var& xs,
                                               typename C::State state,
                                               const UnrollOptions& options, Run run) {
  complete_state(cell, xs, state, options);
  UnrollOptions own = options;
  own.recompute = {};
  const std::int64_t steps =
      segment_steps(xs, state, options,
                    [&](const Var& x, const auto& start, std::span<const std::int64_t> lengths) {
                      UnrollOptions few = own;
                      few.lengths = lengths;
                      few.part = {};
                      return run(x, start, few).ys;
                    });
  if (steps >= xs.dim(0)) return run(xs, state, own);
  auto [ys, last] =
      in_segments(xs, state, steps, options.reverse, options.lengths, options.part,
                  [run, own](const Var& x, const auto& start, std::span<const std::int64_t> lengths,
                             const SequencePart& part) {
                    UnrollOptions segment = own;
                    segment.lengths = lengths;
                    segment.part = part;
                    return run(x, start, segment);
                  });
  return {ys, last};
}

}  // namespace detail

template <Cell C>
Unrolled<typename C::State> unroll(const C& cell, Projected projected, typename C::State state = {},
                                   const UnrollOptions& options = {});
template <Cell C>
Unrolled<typename C::State> unroll(const C& cell, const Var& xs, typename C::State state = {},
                                   const UnrollOptions& options = {});

namespace detail {

// The steps one by one, by ordinary operations.
template <Cell C>
Unrolled<typename C::State> unroll_steps(const C& cell, const Var& zx, typename C::State state,
                                         const UnrollOptions& options, const SequencePart& part) {
  const std::int64_t steps = zx.dim(0);
  if (steps == 0) {
    return {Var(Tensor::empty({0, zx.dim(1), state.h().dim(1)}, zx.dtype(), zx.device())), state};
  }
  const Masks masks(options.lengths, zx);
  PoolVector<Var> inputs = unstack(zx);
  PoolVector<Var> outputs(static_cast<std::size_t>(steps));
  tapeloop::detail::ObservedSteps observed(part, tapeloop::detail::observer_of_steps(), steps,
                                           zx.dim(1));
  for (std::int64_t i = 0; i < steps; ++i) {
    const std::int64_t t = options.reverse ? steps - 1 - i : i;
    tapeloop::detail::ObservedSteps::Step observed_step(observed, t, state.all());
    typename C::State next = step(cell, inputs[static_cast<std::size_t>(t)], state);
    next[0] = observed_step.made(next.all());
    Var output = next.h();
    if (Var running = masks.at(t); running.defined()) {
      for (std::size_t k = 0; k < C::State::parts; ++k)
        next[k] = select(running, next[k], state[k]);
      output = masks.or_zero(running, output);
    }
    observed_step.end(next.all());
    outputs[static_cast<std::size_t>(t)] = output;
    state = next;
  }
  return {stack(outputs), state};
}

// The recurrence of a cell if all steps can run as one operation; else an undefined one.
template <Cell C>
Recurrence whole_recurrence(const C& cell) {
  if constexpr (HasRecurrence<C>) {
    if (tapeloop::detail::observer_of_steps() == nullptr) return cell.recurrence();
  }
  return {};
}

// Sequences of different lengths, with a recurrence. Only the real steps are projected and run.
template <Cell C>
Unrolled<typename C::State> unroll_ragged(const C& cell, Recurrence recurrence, const Var& xs,
                                          typename C::State state, const UnrollOptions& options) {
  complete_state(cell, xs, state, options);
  const std::int64_t steps = xs.dim(0), batch = xs.dim(1);
  const SequencePart part = tapeloop::detail::begin_sequence(options.part, steps, options.reverse);
  const Schedule schedule =
      Schedule::sequences(steps, batch, {.reverse = options.reverse, .lengths = options.lengths});
  const auto sizes = cell.state_sizes();
  Var zx = cell.input(to_nodes(schedule, reshape(xs, Shape{steps * batch, xs.dim(2)})));
  RecurrentResult result =
      recurrent(std::move(recurrence), std::move(zx), state.all(), sizes, schedule, {.part = part});
  const Var ys = from_nodes(schedule, result.hs);
  return {reshape(ys, Shape{steps, batch, ys.dim(1)}), typename C::State(result.last)};
}

}  // namespace detail

// Applies the cell to xs [T, N, I], step by step. An undefined state means zeros. Past the end of
// a sequence the outputs are 0 and the state stays constant, so `last` is the state after the
// sequence's own last step; with `reverse` the sequence starts there. xs is not used past the
// end, may be NaN there, and has gradient 0. Throws if shapes do not fit the cell. Saves the
// tensors that the steps save.
template <Cell C>
Unrolled<typename C::State> unroll(const C& cell, const Var& xs, typename C::State state,
                                   const UnrollOptions& options) {
  detail::check_sequence(xs, options);
  // With reverse, the input projection is calculated and stored for all steps at once. Its weight
  // gradient is then added up in the same order as without recomputation.
  const bool segments = detail::runs_in_segments(options);
  if (segments && !(options.reverse && HasInput<C>)) {
    return detail::unroll_in_segments(
        cell, xs, std::move(state), options,
        [&cell](const Var& part, const typename C::State& start, const UnrollOptions& own) {
          return unroll(cell, part, start, own);
        });
  }
  if constexpr (HasRecurrence<C>) {
    const auto real = [](std::int64_t length) { return length > 0; };
    if (!segments && std::any_of(options.lengths.begin(), options.lengths.end(), real)) {
      if (Recurrence recurrence = detail::whole_recurrence(cell); recurrence.defined()) {
        return detail::unroll_ragged(cell, std::move(recurrence), xs, std::move(state), options);
      }
    }
  }
  Var zx = detail::Masks(options.lengths, xs).without_padding(xs);
  if constexpr (HasInput<C>) zx = cell.input(zx);
  return unroll(cell, Projected{std::move(zx)}, std::move(state), options);
}

// The same after the input projection. If zx is moved in, its memory is reused (see recurrent()).
template <Cell C>
Unrolled<typename C::State> unroll(const C& cell, Projected projected, typename C::State state,
                                   const UnrollOptions& options) {
  Var zx = std::move(projected.zx);
  detail::check_sequence(zx, options);
  if (detail::runs_in_segments(options)) {
    return detail::unroll_in_segments(
        cell, zx, std::move(state), options,
        [&cell](const Var& part, const typename C::State& start, const UnrollOptions& own) {
          return unroll(cell, Projected{part}, start, own);
        });
  }
  detail::complete_state(cell, zx, state, options);
  const detail::SequencePart part =
      tapeloop::detail::begin_sequence(options.part, zx.dim(0), options.reverse);
  Recurrence recurrence = detail::whole_recurrence(cell);
  if (!recurrence.defined()) {
    return detail::unroll_steps(cell, zx, std::move(state), options, part);
  }
  RecurrentResult result =
      recurrent(std::move(recurrence), std::move(zx), state.all(),
                {.reverse = options.reverse, .lengths = options.lengths, .part = part});
  return {result.hs, typename C::State(result.last)};
}

// A stack of cells: layer k + 1 reads the outputs of layer k, both directions side by side if there
// are two. Parameters have PyTorch's names: weight_ih_l0, weight_ih_l0_reverse, weight_ih_l1, ...
template <Cell C>
class Recurrent {
 public:
  using State = typename C::State;

  Recurrent() = default;
  Recurrent(const RecurrentOptions& options, Random& random) : options_(options) {
    detail::check_stack(options);
    for (int layer = 0; layer < options.layers; ++layer) {
      for (int direction = 0; direction < directions(); ++direction) {
        RecurrentOptions own = options;
        if (layer > 0) own.input = directions() * cells_[0].state_sizes()[0];
        cells_.emplace_back(own, random);
      }
    }
    dropout_ = Dropout(options.dropout, random);
  }

  // xs [T, N, I] -> ys [T, N, D*H] and the last state, each part [L*D, N, size], index layer * D +
  // direction. The initial state has the same shape; lengths as in UnrollOptions.
  Unrolled<State> operator()(const Var& xs, const State& initial = {},
                             std::span<const std::int64_t> lengths = {}) const {
    detail::check_sequence(xs, options_of(lengths, false));
    return run(xs.dim(1), initial, lengths,
               [&](const C& cell, const State& start, const UnrollOptions& options) {
                 return unroll(cell, xs, start, options);
               });
  }
  // The same for one-hot vectors of size I, given as symbols [T, N] (int64). A float tensor is xs.
  Unrolled<State> operator()(const Tensor& xs, const State& initial = {},
                             std::span<const std::int64_t> lengths = {}) const requires
      HasSymbolInput<C> {
    if (xs.dtype() != DType::int64) return (*this)(Var(xs), initial, lengths);
    detail::check_symbols(xs);
    return run(xs.dim(1), initial, lengths,
               [&](const C& cell, const State& start, const UnrollOptions& options) {
                 return unroll(cell, Projected{cell.input(xs)}, start, options);
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
    if (options_.layers > 1 && options_.dropout > 0) v("dropout", dropout_);
  }

 private:
  // `first` unrolls a cell of the first layer on the caller's input; other
  // layers read the layer below.
  template <class First>
  Unrolled<State> run(std::int64_t n, const State& initial, std::span<const std::int64_t> lengths,
                      First first) const {
    const auto sizes = state_sizes();
    PoolVector<State> last(cells_.size());
    Var below;
    for (int layer = 0; layer < options_.layers; ++layer) {
      PoolVector<Var> outputs;
      for (int direction = 0; direction < directions(); ++direction) {
        const std::size_t i = static_cast<std::size_t>(layer * directions() + direction);
        const Scope scope("l" + std::to_string(layer) + (direction == 1 ? "_reverse" : ""));
        State start;
        for (std::size_t k = 0; k < State::parts; ++k) {
          if (!initial[k].defined()) continue;
          start[k] = detail::part_of_state(initial[k], static_cast<std::int64_t>(i),
                                           static_cast<std::int64_t>(cells_.size()), n, sizes[k]);
        }
        const UnrollOptions options = options_of(lengths, direction == 1);
        auto [ys, end] = layer == 0 ? first(cells_[i], start, options)
                                    : unroll(cells_[i], below, start, options);
        outputs.push_back(ys);
        last[i] = end;
      }
      below = outputs.size() == 1 ? outputs[0] : concat(outputs, -1);
      if (layer + 1 < options_.layers) below = dropout_(below);
    }
    State stacked;
    for (std::size_t k = 0; k < State::parts; ++k) {
      PoolVector<Var> parts;
      for (const State& state : last) parts.push_back(state[k]);
      stacked[k] = stack(parts);
    }
    return {below, stacked};
  }

  UnrollOptions options_of(std::span<const std::int64_t> lengths, bool reverse) const {
    return {.reverse = reverse,
            .lengths = lengths,
            .recompute = options_.recompute,
            .caller = "recurrent"};
  }

  auto state_sizes() const {  // the same in all cells
    detail::check_built(!cells_.empty());
    return cells_[0].state_sizes();
  }

  RecurrentOptions options_;
  std::vector<C> cells_;
  Dropout dropout_;
};

// --- stacks of the built-in cells ---
using Rnn = Recurrent<RnnCell>;
using Lstm = Recurrent<LstmCell>;
using Gru = Recurrent<GruCell>;

}  // namespace tapeloop::nn
