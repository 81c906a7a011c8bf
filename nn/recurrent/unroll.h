// SPDX-License-Identifier: MIT
// unroll(): a cell over time.
//   T time steps, N batch, I input size, H output size. Row-major.
// Of sequences of different lengths a recurrence runs only the real steps; step() runs all of them,
// and masks hide those past the ends. Results are those of PyTorch's packed sequences.
#pragma once

#include <algorithm>
#include <optional>
#include <span>

#include "tapeloop/autograd/look/sequence_part.h"
#include "tapeloop/nn/layers/layers.h"
#include "tapeloop/nn/recurrent/cell.h"

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
  // [T, N], row-major: before a step whose flag is not 0, the sequence takes its initial state
  // again. No gradient crosses. Empty: none does. Not together with `recompute`.
  std::span<const std::uint8_t> resets = {};
  // Steps that are calculated again instead of stored. The cell must then
  // outlive the backward pass.
  Recompute recompute = {};
  // Masks for a cell with recurrence(). nn::Recurrent draws them (RecurrentOptions::noise).
  NoiseMasks noise = {};
  // --- for the library itself ---
  tapeloop::detail::SequencePart part = {};  // set by unroll() for the parts of a sequence
  const char* caller = "unroll";             // the function that errors name
};

// The result of cell.input(xs), [T, N, ...], as an argument: unroll(cell, Projected{zx}).
struct Projected {
  Var zx;  // [T, N, G*H] for a built-in cell
};

// A cell that calculates all steps at once. start: the parts, [N, size]; undefined ones are 0. Past
// the ends of sequences xs is 0, and ys may be anything there. A part 0 of `last` that is undefined
// is the last step's y.
// Steps with noise within run by recurrence(), and so do those of a tape that logs the gradients of
// states.
template <class C>
concept HasSequence = requires(const C& cell, const Var& xs, const typename C::State& start,
                               const UnrollOptions& options) {
  { cell.sequence(xs, start, options) } -> std::same_as<Unrolled<typename C::State>>;
};
// Whether this cell does so. has_sequence() says it for an AnyCell, whose type does not.
template <HasSequence C>
bool calculates_sequences(const C& cell) {
  if constexpr (requires { cell.has_sequence(); }) return cell.has_sequence();
  return true;
}

namespace detail {

// Masks of the sequences that run at step t: [N, 1] of 1 and 0; undefined if all run.
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

// The initial state in the rows that start again.
class Restarts {
 public:
  Restarts(std::span<const std::uint8_t> resets, const Var& xs);
  // [N, 1] of 1 and 0 for step t; undefined if no row starts again there.
  Var at(std::int64_t t) const;

 private:
  std::span<const std::uint8_t> resets_;
  Tensor flags_;  // [T, N, 1], undefined if there are none
};

Tensor zero_state(const Var& xs, std::int64_t size);
// The y of each sequence's last step, or `start` if it has none.
Var last_output(const Var& ys, const Var& start, const UnrollOptions& options);
// Throws unless xs is [T, N, I], and lengths and resets fit it.
void check_sequence(const Var& xs, const UnrollOptions& options);
// Throws if some rows of xs have fewer steps than others, or start again.
void check_whole_batch(const Var& xs, const UnrollOptions& options);
void check_state(const Var& part, std::size_t index, std::int64_t n, std::int64_t size,
                 const char* caller);
// Throws if a state of any number of parts has more than the cell.
void check_parts(std::size_t given, std::size_t expected, const char* caller);
// True if steps run in segments, which the backward pass calculates again.
bool runs_in_segments(const UnrollOptions& options);

// Replaces undefined parts by zeros; throws if other parts do not fit.
template <class C>
void complete_state(const C& cell, const Var& xs, typename C::State& state,
                    const UnrollOptions& options = {}) {
  const auto sizes = cell.state_sizes();
  check_parts(state.all().size(), sizes.size(), options.caller);
  for (std::size_t k = 0; k < sizes.size(); ++k) {
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
    // The values of `lengths` must not matter, so these lengths mask a sequence at all steps.
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
  check_masks(options.noise, cell.state_sizes(), xs.dim(0), xs.dim(1));
  UnrollOptions own = options;
  own.recompute = {};
  // The options for a part x whose first step is `first`.
  const auto options_of = [own](const Var& x, std::span<const std::int64_t> lengths,
                                const SequencePart& part, std::int64_t first) {
    UnrollOptions segment = own;
    segment.lengths = lengths;
    segment.part = part;
    if (own.noise.any()) segment.noise = own.noise.within(first, x.dim(0));
    return segment;
  };
  const std::int64_t steps =
      segment_steps(xs, state, options,
                    [&](const Var& x, const auto& start, std::span<const std::int64_t> lengths) {
                      return run(x, start, options_of(x, lengths, {}, 0)).ys;
                    });
  if (steps >= xs.dim(0)) return run(xs, state, own);
  auto [ys, last] =
      in_segments(xs, state, steps, options.reverse, options.lengths, options.part,
                  [run, options_of, begin = options.part.first](
                      const Var& x, const auto& start, std::span<const std::int64_t> lengths,
                      const SequencePart& part) {
                    return run(x, start, options_of(x, lengths, part, part.first - begin));
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

// The recurrence of a cell; undefined if the cell has none.
template <Cell C>
Recurrence recurrence_of(const C& cell) {
  if constexpr (HasRecurrence<C>) return cell.recurrence();
  return {};
}
// The cell's recurrence with the masks in it, for T steps of N rows; undefined if there is none.
template <Cell C>
Recurrence noisy_recurrence(const C& cell, Recurrence result, const NoiseMasks& noise,
                            std::int64_t steps, std::int64_t batch,
                            const Schedule* schedule = nullptr) {
  if (!noise.in_step()) return result;
  if (!result.defined()) fail_noise_without_recurrence();
  if (noise.candidates.defined()) {
    if constexpr (requires { cell.recurrence(of::state(0)); }) {
      result = cell.recurrence(mask_source(noise.candidates, schedule));
    } else {
      result = {};
    }
    if (!result.defined()) fail_noise_of_candidates();
  }
  return with_noise(std::move(result), noise, cell.state_sizes().back(), steps, batch, schedule);
}

// Throws if the cell's step has nothing that the noise could act on.
template <Cell C>
void check_noise_of(const C& cell, const Noise& noise) {
  const PauseRecording pause;
  check_noise(noise, recurrence_of(cell), cell.state_sizes(), zoned_parts(cell));
}

// The steps one by one, by ordinary operations.
template <Cell C>
Unrolled<typename C::State> unroll_steps(const C& cell, const Var& zx, typename C::State state,
                                         const UnrollOptions& options, const SequencePart& part) {
  const std::int64_t steps = zx.dim(0);
  if (steps == 0) {
    return {Var(Tensor::empty({0, zx.dim(1), state.h().dim(1)}, zx.dtype(), zx.device())), state};
  }
  const Masks masks(options.lengths, zx);
  const Restarts restarts(options.resets, zx);
  const typename C::State initial = state;
  const NoiseMasks& noise = options.noise;
  PoolVector<Var> inputs = unstack(zx);
  PoolVector<Var> outputs(static_cast<std::size_t>(steps));
  tapeloop::detail::ObservedSteps observed(part, tapeloop::detail::observer_of_steps(), steps,
                                           zx.dim(1));
  for (std::int64_t i = 0; i < steps; ++i) {
    const std::int64_t t = options.reverse ? steps - 1 - i : i;
    if (const Var again = restarts.at(t); again.defined()) {
      for (std::size_t k = 0; k < state.all().size(); ++k)
        state[k] = select(again, initial[k], state[k]);
    }
    tapeloop::detail::ObservedSteps::Step observed_step(observed, t, state.all());
    const Var& x = inputs[static_cast<std::size_t>(t)];
    typename C::State next =
        noise.in_step() ? typename C::State(noisy_recurrence(cell, recurrence_of(cell),
                                                             noise.within(t, 1), 1, x.dim(0))
                                                .step(x, state.all()))
                        : step(cell, x, state);
    next[0] = observed_step.made(next.all());
    Var output = next.h();
    if (Var running = masks.at(t); running.defined()) {
      for (std::size_t k = 0; k < state.all().size(); ++k)
        next[k] = select(running, next[k], state[k]);
      output = masks.or_zero(running, output);
    }
    observed_step.end(next.all());
    outputs[static_cast<std::size_t>(t)] = output;
    state = next;
  }
  return {times_mask("outputs", stack(outputs), noise.outputs), state};
}

// All steps at once, by the cell's sequence().
template <HasSequence C>
Unrolled<typename C::State> unroll_sequence(const C& cell, const Var& xs,
                                            const typename C::State& state,
                                            const UnrollOptions& options) {
  check_masks(options.noise, cell.state_sizes(), xs.dim(0), xs.dim(1));
  typename C::State start = state;
  complete_state(cell, xs, start, options);
  const Masks masks(options.lengths, xs);
  const Var inputs = times_mask("inputs", masks.without_padding(xs), options.noise.inputs);
  Unrolled<typename C::State> result = cell.sequence(inputs, state, options);
  if (!result.last[0].defined()) result.last[0] = last_output(result.ys, start[0], options);
  result.ys = times_mask("outputs", masks.without_padding(result.ys), options.noise.outputs);
  return result;
}

// Sequences of different lengths, with a recurrence. Only the real steps are projected and run.
template <Cell C>
Unrolled<typename C::State> unroll_ragged(const C& cell, Recurrence recurrence, const Var& xs,
                                          typename C::State state, const UnrollOptions& options) {
  complete_state(cell, xs, state, options);
  const std::int64_t steps = xs.dim(0), batch = xs.dim(1);
  const SequencePart part = tapeloop::detail::begin_sequence(options.part, steps, options.reverse);
  const Schedule schedule = Schedule::sequences(
      steps, batch,
      {.reverse = options.reverse, .lengths = options.lengths, .resets = options.resets});
  const auto sizes = cell.state_sizes();
  check_masks(options.noise, sizes, steps, batch);
  Var zx = project_masked(xs, options.noise.inputs, [&](const Var& x) {
    return cell.input(to_nodes(schedule, reshape(x, Shape{steps * batch, x.dim(2)})));
  });
  RecurrentResult result = recurrent(
      noisy_recurrence(cell, std::move(recurrence), options.noise, steps, batch, &schedule),
      std::move(zx), state.all(), sizes, schedule, {.part = part});
  const Var ys = from_nodes(schedule, result.hs);
  return {times_mask("outputs", reshape(ys, Shape{steps, batch, ys.dim(1)}), options.noise.outputs),
          typename C::State(result.last)};
}

}  // namespace detail

// Applies the cell to xs [T, N, I], step by step. An undefined state means zeros. Past the end of
// a sequence the outputs are 0 and the state stays constant, so `last` is the state after the
// sequence's own last step; with `reverse` the sequence starts there. xs is not used past the
// end, may be NaN there, and has gradient 0. Where a sequence starts again (UnrollOptions::resets),
// `last` is the state after the last step, too. Throws if shapes do not fit the cell. Saves the
// tensors that the steps save.
template <Cell C>
Unrolled<typename C::State> unroll(const C& cell, const Var& xs, typename C::State state,
                                   const UnrollOptions& given) {
  UnrollOptions options = given;
  detail::check_sequence(xs, options);
  if (detail::mixes_rows(cell)) detail::check_whole_batch(xs, options);
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
  if constexpr (HasSequence<C>) {
    if (calculates_sequences(cell) && !segments && !options.noise.in_step() &&
        options.resets.empty() && xs.dim(0) > 0 && xs.dim(1) > 0 &&
        tapeloop::detail::observer_of_steps() == nullptr) {
      options.part = tapeloop::detail::begin_sequence(options.part, xs.dim(0), options.reverse);
      if (!options.part.logged()) {
        return detail::unroll_sequence(cell, xs, state, options);
      }
    }
  }
  if constexpr (HasRecurrence<C>) {
    const auto real = [](std::int64_t length) { return length > 0; };
    if (!segments && tapeloop::detail::observer_of_steps() == nullptr &&
        std::any_of(options.lengths.begin(), options.lengths.end(), real)) {
      if (Recurrence recurrence = cell.recurrence(); recurrence.defined()) {
        return detail::unroll_ragged(cell, std::move(recurrence), xs, std::move(state), options);
      }
    }
  }
  Var zx = detail::project_masked(detail::Masks(options.lengths, xs).without_padding(xs),
                                  options.noise.inputs, [&](const Var& x) {
                                    if constexpr (HasInput<C>)
                                      return cell.input(x);
                                    else
                                      return x;
                                  });
  UnrollOptions rest = options;
  rest.noise.inputs = {};
  return unroll(cell, Projected{std::move(zx)}, std::move(state), rest);
}

// The same after the input projection. If zx is moved in, its memory is reused (see recurrent()).
template <Cell C>
Unrolled<typename C::State> unroll(const C& cell, Projected projected, typename C::State state,
                                   const UnrollOptions& options) {
  Var zx = std::move(projected.zx);
  detail::check_sequence(zx, options);
  if (detail::mixes_rows(cell)) detail::check_whole_batch(zx, options);
  if (options.noise.inputs.defined()) detail::fail_noise_of_projected_inputs();
  if (detail::runs_in_segments(options)) {
    return detail::unroll_in_segments(
        cell, zx, std::move(state), options,
        [&cell](const Var& part, const typename C::State& start, const UnrollOptions& own) {
          return unroll(cell, Projected{part}, start, own);
        });
  }
  const std::int64_t steps = zx.dim(0), batch = zx.dim(1);
  detail::complete_state(cell, zx, state, options);
  detail::check_masks(options.noise, cell.state_sizes(), steps, batch);
  const detail::SequencePart part =
      tapeloop::detail::begin_sequence(options.part, steps, options.reverse);
  Recurrence recurrence;
  if (tapeloop::detail::observer_of_steps() == nullptr) {
    recurrence =
        detail::noisy_recurrence(cell, detail::recurrence_of(cell), options.noise, steps, batch);
  }
  if (!recurrence.defined()) {
    return detail::unroll_steps(cell, zx, std::move(state), options, part);
  }
  RecurrentResult result = recurrent(std::move(recurrence), std::move(zx), state.all(),
                                     {.reverse = options.reverse,
                                      .lengths = options.lengths,
                                      .resets = options.resets,
                                      .part = part});
  return {detail::times_mask("outputs", result.hs, options.noise.outputs),
          typename C::State(result.last)};
}

}  // namespace tapeloop::nn
