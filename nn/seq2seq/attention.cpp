// SPDX-License-Identifier: MIT
// Attention: prepares the source; scores, mask, softmax, context.
#include "tapeloop/nn/seq2seq/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tapeloop/autograd/look/profile.h"
#include "tapeloop/autograd/schedule/lengths.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/layers/init.h"
#include "tapeloop/nn/seq2seq/scores.h"

namespace tapeloop::nn {

namespace {

Var unit_length(const Var& x) { return pointwise(UnitLength{}, x, sum(square(x), {-1}, true)); }

// [N, S] of 1 and 0; undefined if every sequence has S steps.
Tensor mask_of(std::span<const std::int64_t> lengths, const Var& source) {
  const std::int64_t steps = source.dim(0), batch = source.dim(1);
  if (lengths.empty()) return {};
  if (static_cast<std::int64_t>(lengths.size()) != batch) {
    fail(
        "attention",
        fmt::format(
            "{} lengths were given for a batch of {}; give one for each sequence; the source is {}",
            lengths.size(), batch, source.shape().str()));
  }
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 1 || lengths[i] > steps) {
      fail("attention",
           fmt::format("length {} of sequence {} is outside 1..{}, the steps of the source {}; an "
                       "empty sequence has nothing to look at: leave it out",
                       lengths[i], i, steps, source.shape().str()));
    }
  }
  if (std::all_of(lengths.begin(), lengths.end(), [&](auto l) { return l == steps; })) return {};
  return tapeloop::detail::mask_within(lengths, steps, source.dtype(), source.device())
      .transpose(0, 1)
      .contiguous();
}

}  // namespace

Attention::Attention(const AttentionOptions& o, Random& random) : options(o) {
  if (o.query < 1 || o.source < 1 || o.size < 0) {
    fail("attention", fmt::format("query is {}, source {}, size {}; expected query and source of 1 "
                                  "or more, and a size of 0 or more",
                                  o.query, o.source, o.size));
  }
  const bool by_product = o.score == Score::dot || o.score == Score::cosine;
  if (by_product && o.query != o.source) {
    fail("attention", fmt::format("dot and cosine compare vectors of one size: query is {}, source "
                                  "{}; take Score::general or additive",
                                  o.query, o.source));
  }
  if (o.score != Score::additive && o.size != 0) {
    fail("attention",
         "the option `size` belongs to Score::additive; leave it at 0 for other scores");
  }
  if (o.score == Score::additive) {
    options.size = o.size > 0 ? o.size : o.query;
    query = Linear(o.query, options.size, random, false, o.dtype);
    key = Linear(o.source, options.size, random, true, o.dtype);
    v = Linear(options.size, 1, random, false, o.dtype);
  } else if (o.score == Score::general) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(o.query));
    weight = uniform_parameter({o.source, o.query}, bound, random, o.dtype);
  }
}

AttentionSource Attention::prepare(const Var& source, std::span<const std::int64_t> lengths) const {
  if (!source.defined() || source.rank() != 3 || source.dim(2) != options.source ||
      source.dim(0) == 0) {
    fail("attention",
         fmt::format("the source is {}, expected [S, N, D = {}] with at least one step",
                     source.defined() ? source.shape().str() : "undefined", options.source));
  }
  AttentionSource result;
  result.score = options.score;
  result.mask = mask_of(lengths, source);
  Var rows = permute(source, {1, 0, 2});
  if (result.mask.defined()) {
    // select() instead of a product: a weight of 0 times NaN would be NaN.
    Var zero(Tensor::zeros({}, source.dtype(), source.device()));
    rows = select(Var(result.mask.insert_axis(2)), rows, zero);
  }
  result.columns = transpose(rows);
  switch (options.score) {
    case Score::additive: result.keys = key(rows); break;
    case Score::general: result.keys = linear(rows, transpose(weight)); break;
    case Score::cosine: result.keys = unit_length(rows); break;
    case Score::dot: result.keys = rows; break;
  }
  return result;
}

Var Attention::scores(const Var& q, const AttentionSource& source) const {
  if (options.score != Score::additive) {
    return linear_each(options.score == Score::cosine ? unit_length(q) : q, source.keys);
  }
  Var hidden = pointwise(AdditiveHidden{}, source.keys, insert_axis(query(q), q.rank() - 1));
  return reshape(v(hidden), q.shape().with(-1, source.keys.dim(1)));
}

Attended Attention::operator()(const Var& q, const AttentionSource& source) const {
  if (!source.defined()) fail("attention", "the source is undefined; make it by prepare(...)");
  if (source.score != options.score) {
    fail("attention",
         "the source was prepared by an attention with another score; prepare it by the attention "
         "that reads it");
  }
  const std::int64_t batch = source.columns.dim(0);
  if ((q.rank() != 2 && q.rank() != 3) || q.dim(-1) != options.query || q.dim(-2) != batch) {
    fail("attention",
         fmt::format("the query is {}, expected [N, H] or [T, N, H] with N = {}, H = {}",
                     q.shape().str(), batch, options.query));
  }
  const Scope scope("attention");
  Var score = scores(q, source);
  if (options.scaled) {
    const double size =
        static_cast<double>(options.score == Score::additive ? options.size : source.keys.dim(2));
    score = score * (options.score == Score::cosine ? std::sqrt(size) : 1.0 / std::sqrt(size));
  }
  if (source.mask.defined()) {
    const double never = -std::numeric_limits<double>::infinity();
    score = select(Var(source.mask), score, Var(Tensor::full({}, never, q.dtype(), q.device())));
  }
  Var weights = softmax(score);
  return {linear_each(weights, source.columns), weights};
}

}  // namespace tapeloop::nn
