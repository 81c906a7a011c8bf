// SPDX-License-Identifier: MIT
// Long sequences in little memory: splits unroll() into segments of time steps, which run again in
// the backward pass. Knows no cell: callers pass the function that runs a segment.
#pragma once

#include <span>
#include <utility>

#include "tapeloop/autograd/look/sequence_part.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tape/recompute.h"
#include "tapeloop/autograd/tensor/tensor_meter.h"

namespace tapeloop::nn {

// How an unrolled sequence trades time for memory. Give the number of steps that are stored at a
// time, or the memory that everything may take. For `fit_mib` unroll() counts the tensors of a few
// steps. If everything fits, it makes no segments. Else it chooses ceil(256 / N) steps on the CPU,
// if that fits, or the longest segments that fit. The choice depends only on the cell, shapes,
// types and `fit_mib`: it is the same in each call and each process, for any number of threads and
// any values of lengths.
// Costs one more forward pass. On the CPU, gradients are bit-identical to the stored run if a
// segment has ceil(256 / N) steps and all sequences have T steps. With multiples of that number the
// gradients of all weights are bit-identical, but not those of biases that a cell adds to each
// other first, as an LSTM does. Other lengths of segments, and sequences of different lengths,
// differ in the last bits of gradients.
struct Recompute {
  std::int64_t steps = 0;  // steps of a segment; 0: stores everything, unless fit_mib is given
  // Upper limit of the memory for this unroll forwards and backwards, beyond the memory
  // in use before; 0: no limit.
  double fit_mib = 0;
  // Whether one of them is given.
  bool wanted() const { return steps != 0 || fit_mib != 0; }
};

namespace detail {

using tapeloop::detail::RandomLog;
using tapeloop::detail::SequencePart;

struct Segments {
  PoolVector<std::int64_t> sizes;  // in order of time
  bool single() const { return sizes.size() <= 1; }
};
// T steps split into segments of `steps`. The one that runs backwards last may be shorter.
Segments cut_into_segments(std::int64_t steps_in_all, std::int64_t steps, bool reverse);
void check_recompute(const Recompute& recompute, const char* caller = "unroll");

// Bytes of one unroll: `fixed` once, `per_step` for each stored step, `per_boundary` for each
// segment, and `results`, which do not depend on the segments.
struct UnrollBytes {
  std::int64_t fixed, per_step, per_boundary, results;
};
// The number of steps of a segment that fits; T if everything can be
// stored. Throws if nothing fits.
std::int64_t fitting_steps(std::int64_t t, std::int64_t n, Device device, const UnrollBytes& bytes,
                           double mib);

// An upper bound for the memory of the packed forms of these weights, for the
// forward and the backward pass.
std::int64_t packed_bytes(std::span<const Var> weights);

// The parts as one Var; their values are already slices of `whole`.
Var join(std::span<const Var> parts, const Tensor& whole);

// The lengths of the sequences within time steps [first, first + steps).
PoolVector<std::int64_t> lengths_within(std::span<const std::int64_t> lengths, std::int64_t first,
                                        std::int64_t steps);

// The memory that run(xs) takes forwards and backwards, beyond the memory in use now: `peak`
// for tensors and the tape, `weights` for packed weights that are kept. Both depend only on
// shapes, types and the function.
struct RunBytes {
  std::int64_t peak, weights;
};
template <class Run>
RunBytes bytes_of_run(const Var& xs, Run run) {
  const tapeloop::detail::TensorMeter meter;
  RandomLog unused;
  const RandomLog::Peeking peeking(unused);  // takes random numbers without advancing the streams
  tapeloop::detail::InnerTape within(*Tape::current(), false);
  Tape& tape = within.tape;
  const Var offset = parameter(Tensor::zeros({}, xs.dtype(), xs.device()));
  const Var ys = run(xs) + offset;  // so that there is always an input to differentiate by
  tape.gradient(ys, Var(Tensor::full(ys.shape(), 1.0, ys.dtype(), ys.device())), {&offset, 1});
  return {meter.peak() + tape.record_bytes(), packed_bytes(within.leaves())};
}

// Runs xs [T, N, ..] segment by segment; run(xs of a segment, state, lengths, part) -> {ys, last}.
// `part`: the place of xs in its sequence.
template <class S, class Run>
std::pair<Var, S> in_segments(const Var& xs, S state, std::int64_t steps, bool reverse,
                              std::span<const std::int64_t> lengths, const SequencePart& part,
                              Run run) {
  const Segments segments = cut_into_segments(xs.dim(0), steps, reverse);
  const PoolVector<Var> parts = split(xs, segments.sizes, 0);
  const SequencePart whole_part = tapeloop::detail::begin_sequence(part, xs.dim(0), reverse);
  PoolVector<Var> outputs(parts.size());
  Tensor whole;
  std::int64_t first = reverse ? xs.dim(0) : 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t at = reverse ? parts.size() - 1 - i : i;
    const std::int64_t size = segments.sizes[at];
    if (reverse) first -= size;
    PoolVector<Var> inputs{parts[at]};
    for (const Var& s : state) inputs.push_back(s);
    if (!whole.defined()) {
      whole = Tensor::empty({xs.dim(0), xs.dim(1), state.h().dim(1)}, xs.dtype(), xs.device());
    }
    PoolVector<Var> results = recompute(
        inputs,
        [run, own = lengths_within(lengths, first, size),
         own_part = whole_part.from(first)](std::span<const Var> in) {
          auto [ys, last] = run(in[0], S(in.subspan(1)), own, own_part);
          PoolVector<Var> all{ys};
          for (const Var& s : last) all.push_back(s);
          return all;
        },
        whole.slice(0, first, first + size));
    outputs[at] = results[0];
    state = S(std::span<const Var>(results).subspan(1));
    if (!reverse) first += size;
  }
  return {join(outputs, whole), state};
}

}  // namespace detail
}  // namespace tapeloop::nn
