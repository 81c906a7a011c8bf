// SPDX-License-Identifier: MIT
// The forward algorithm, which the tape differentiates, and the Viterbi algorithm.
#include "tapeloop/nn/layers/crf.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/schedule/lengths.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

namespace {

using Lengths = std::span<const std::int64_t>;

void check_emissions(const Var& transitions, const Tensor& emissions, Lengths lengths) {
  if (!transitions.defined()) fail("crf", "it has no tags yet; make it by Crf(tags, random)");
  const std::int64_t tags = transitions.dim(0);
  if (!emissions.defined() || emissions.rank() != 3 || emissions.dim(0) == 0 ||
      emissions.dim(2) != tags || emissions.dtype() != transitions.dtype()) {
    fail("crf", fmt::format("emissions are {}, expected {}[T, N, {}] with at least one time step",
                            emissions.describe(), name(transitions.dtype()), tags));
  }
  tapeloop::detail::check_lengths("crf", lengths, "emissions", emissions.shape());
  for (std::size_t n = 0; n < lengths.size(); ++n) {
    if (lengths[n] > 0) continue;
    fail("crf", fmt::format("sequence {} has length 0, expected 1..{}; leave empty sequences out",
                            n, emissions.dim(0)));
  }
}

std::int64_t length_of(Lengths lengths, std::int64_t n, std::int64_t steps) {
  return lengths.empty() ? steps : lengths[static_cast<std::size_t>(n)];
}

// Where the scores of the given tags stand, on the CPU.
struct Places {
  Tensor tags;    // [T, N, 1], 0 past the lengths
  Tensor pairs;   // [T - 1, N]: row of a tag and the next one in the transitions as [K K, 1]
  Tensor lasts;   // [N]
  Tensor within;  // [T, N, 1]: 1 within the lengths, else 0
};

Places places_of(const Tensor& given, const Tensor& emissions, Lengths lengths) {
  const std::int64_t steps = emissions.dim(0), batch = emissions.dim(1), count = emissions.dim(2);
  if (!given.defined() || given.dtype() != DType::int64 || given.rank() != 2 ||
      given.dim(0) != steps || given.dim(1) != batch) {
    fail("crf", fmt::format("tags are {}, emissions {}; expected int64[T, N] = [{}, {}]",
                            given.describe(), emissions.describe(), steps, batch));
  }
  const Tensor flat = given.cpu().contiguous();
  const auto* const tag = flat.read<std::int64_t>();
  PoolVector<std::int64_t> tags(static_cast<std::size_t>(steps * batch), 0);
  PoolVector<std::int64_t> pairs(static_cast<std::size_t>((steps - 1) * batch), 0);
  PoolVector<std::int64_t> lasts(static_cast<std::size_t>(batch), 0);
  PoolVector<double> within(tags.size(), 0.0);
  for (std::int64_t n = 0; n < batch; ++n) {
    for (std::int64_t t = 0; t < length_of(lengths, n, steps); ++t) {
      const auto i = static_cast<std::size_t>(t * batch + n);
      if (tag[i] < 0 || tag[i] >= count) {
        fail("crf", fmt::format("tag {} at [{}, {}] is none of the {} tags 0..{}; padding may "
                                "stand only after the length of a sequence",
                                tag[i], t, n, count, count - 1));
      }
      tags[i] = tag[i], within[i] = 1;
      lasts[static_cast<std::size_t>(n)] = tag[i];
      if (t > 0) {
        const auto before = i - static_cast<std::size_t>(batch);
        pairs[before] = tags[before] * count + tag[i];
      }
    }
  }
  const auto indices = [](const Shape& shape, const PoolVector<std::int64_t>& list) {
    return Tensor::from(shape, Lengths(list));
  };
  return {indices({steps, batch, 1}, tags), indices({steps - 1, batch}, pairs),
          indices({batch}, lasts),
          Tensor::from(Shape{steps, batch, 1}, std::span<const double>(within))
              .to(emissions.dtype())
              .to(emissions.device())};
}

}  // namespace

Crf::Crf(std::int64_t tags, Random& random, DType dtype) {
  if (tags < 1) fail("crf", fmt::format("tags is {}, expected 1 or more", tags));
  start_transitions = uniform_parameter({tags}, 0.1, random, dtype);
  end_transitions = uniform_parameter({tags}, 0.1, random, dtype);
  transitions = uniform_parameter({tags, tags}, 0.1, random, dtype);
}

Var Crf::operator()(const Var& emissions, const Tensor& tags, Lengths lengths,
                    Reduce reduce) const {
  check_emissions(transitions, emissions.defined() ? emissions.value() : Tensor(), lengths);
  const Places places = places_of(tags, emissions.value(), lengths);
  const Scope scope("crf");
  const std::int64_t steps = emissions.dim(0), batch = emissions.dim(1), count = emissions.dim(2);
  const Var zero(Tensor::zeros({}, emissions.dtype(), emissions.device()));
  const Var within(places.within);

  // What step t adds to the score of the given tags: [T, N, 1].
  Var own = select(within, gather(emissions, places.tags, -1), zero);
  const Var first = embedding(reshape(start_transitions, {count, 1}),
                              places.tags.slice(0, 0, 1).reshape({batch}));  // [N, 1]
  PoolVector<Var> moves{insert_axis(first, 0)};
  if (steps > 1) {
    const Var moved = embedding(reshape(transitions, {count * count, 1}), places.pairs);
    moves.push_back(select(slice(within, 0, 1, steps), moved, zero));
  }
  own = own + concat(moves, 0);

  // a[n, j] + taken[n]: the logarithm of the sum over all tags of the steps so far that end in j,
  // minus the score of the given tags. The largest a of each step is moved into `taken`, so that
  // the difference keeps its precision in a sequence of any length.
  const Var from = transpose(transitions);  // [to, from]
  const PoolVector<Var> emission = unstack(emissions);
  const PoolVector<Var> own_at = unstack(own);
  const int last = -1;
  Var a, taken;
  for (std::int64_t t = 0; t < steps; ++t) {
    const auto i = static_cast<std::size_t>(t);
    const Var before =
        t == 0 ? start_transitions : logsumexp(insert_axis(a, 1) + from, {-1});  // [N, to]
    const Var next = before + emission[i];
    const Var largest = tapeloop::detail::row_shift(next, {&last, 1});
    if (t == 0) {
      a = next - largest;
      taken = largest - own_at[i];
      continue;
    }
    const Var runs = Var(places.within.select(0, t));
    a = select(runs, next - largest, a);
    taken = taken + select(runs, largest - own_at[i], zero);
  }
  const Var end = embedding(reshape(end_transitions, {count, 1}), places.lasts);  // [N, 1]
  const Var losses = reshape(logsumexp(a + end_transitions, {-1}, true) + taken - end, {batch});
  switch (reduce) {
    case Reduce::mean: return mean(losses);
    case Reduce::sum: return sum(losses);
    default: return losses;
  }
}

std::vector<std::vector<std::int64_t>> Crf::decode(const Tensor& emissions, Lengths lengths) const {
  check_emissions(transitions, emissions, lengths);
  const std::int64_t steps = emissions.dim(0), batch = emissions.dim(1);
  const auto count = static_cast<std::size_t>(emissions.dim(2));
  const std::vector<double> e = emissions.to_vector<double>();
  const std::vector<double> start = start_transitions.value().to_vector<double>();
  const std::vector<double> end = end_transitions.value().to_vector<double>();
  const std::vector<double> move = transitions.value().to_vector<double>();
  std::vector<std::vector<std::int64_t>> result(static_cast<std::size_t>(batch));
  std::vector<double> score(count), next(count);
  std::vector<std::size_t> came(static_cast<std::size_t>(steps) * count);  // the best tag before
  for (std::size_t n = 0; n < result.size(); ++n) {
    const auto length =
        static_cast<std::size_t>(length_of(lengths, static_cast<std::int64_t>(n), steps));
    for (std::size_t t = 0; t < length; ++t) {
      const double* const row = e.data() + (t * result.size() + n) * count;
      for (std::size_t j = 0; j < count; ++j) {
        std::size_t best = 0;
        for (std::size_t i = 1; t > 0 && i < count; ++i) {
          if (score[i] + move[i * count + j] > score[best] + move[best * count + j]) best = i;
        }
        came[t * count + j] = best;
        next[j] = row[j] + (t == 0 ? start[j] : score[best] + move[best * count + j]);
      }
      std::swap(score, next);
    }
    for (std::size_t j = 0; j < count; ++j) score[j] += end[j];
    auto tag =
        static_cast<std::size_t>(std::max_element(score.begin(), score.end()) - score.begin());
    result[n].resize(length);
    for (std::size_t t = length; t-- > 0;) {
      result[n][t] = static_cast<std::int64_t>(tag);
      tag = came[t * count + tag];
    }
  }
  return result;
}

}  // namespace tapeloop::nn
