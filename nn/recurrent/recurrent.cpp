// SPDX-License-Identifier: MIT
// Checks of sequences and states, and the masks of variable lengths.
#include "tapeloop/nn/recurrent/recurrent.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/schedule/lengths.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn::detail {

bool runs_in_segments(const UnrollOptions& options) {
  return options.recompute.wanted() && Tape::current() != nullptr &&
         tapeloop::detail::observer_of_steps() == nullptr;
}

void check_sequence(const Var& xs, const UnrollOptions& options) {
  if (!xs.defined()) fail(options.caller, "xs must be [T, N, I], got an undefined variable");
  if (xs.rank() != 3) {
    fail(options.caller,
         fmt::format("xs must be [T, N, I], got {}{}", xs.shape().str(),
                     xs.rank() == 2 ? "; add a batch axis by insert_axis(xs, 1)" : ""));
  }
  tapeloop::detail::check_lengths(options.caller, options.lengths, "xs", xs.shape());
  tapeloop::detail::check_resets(options.caller, options.resets, "xs", xs.shape());
  if (!options.resets.empty() && options.recompute.wanted()) {
    fail(options.caller,
         "resets were given together with recompute: a segment does not know the initial state of "
         "the sequence; leave one of them out");
  }
}

void check_whole_batch(const Var& xs, const UnrollOptions& options) {
  const bool whole = std::all_of(options.lengths.begin(), options.lengths.end(),
                                 [&](std::int64_t length) { return length == xs.dim(0); });
  if (whole && options.resets.empty()) return;
  fail(options.caller,
       fmt::format("{} were given to a cell that normalises over the batch, where every row counts "
                   "at every step; give sequences of one length",
                   whole ? "resets" : "lengths below T"));
}

void check_symbols(const Tensor& symbols, std::span<const std::int64_t> lengths,
                   std::span<const std::uint8_t> begins, const RecurrentOptions& options) {
  if (symbols.rank() != 2) {
    fail("recurrent", fmt::format("symbols must be [T, N], got {}", symbols.describe()));
  }
  tapeloop::detail::check_lengths("recurrent", lengths, "symbols", symbols.shape());
  tapeloop::detail::check_resets("recurrent", begins, "symbols", symbols.shape());
  if (options.noise.inputs != 0 || options.connection != Connection::plain) {
    fail("recurrent",
         "symbols stand for one-hot vectors, which neither noise.inputs nor a residual or highway "
         "connection can read; give the output of an nn::Embedding");
  }
}

Tensor symbols_without_padding(const Tensor& symbols, std::span<const std::int64_t> lengths) {
  const std::int64_t steps = symbols.dim(0);
  if (std::all_of(lengths.begin(), lengths.end(), [&](auto length) { return length == steps; })) {
    return symbols;
  }
  const Tensor result = symbols.clone();
  for (std::size_t n = 0; n < lengths.size(); ++n) {
    result.select(1, static_cast<std::int64_t>(n)).slice(0, lengths[n], steps).fill(0);
  }
  return result;
}

Tensor zero_state(const Var& xs, std::int64_t size) {
  return Tensor::zeros({xs.dim(1), size}, xs.dtype(), xs.device());
}

Var last_output(const Var& ys, const Var& start, const UnrollOptions& options) {
  const std::int64_t steps = ys.dim(0), batch = ys.dim(1);
  if (options.lengths.empty()) return select_index(ys, 0, options.reverse ? 0 : steps - 1);
  const Tensor index = Tensor::empty({batch}, DType::int64);
  auto* const rows = static_cast<std::int64_t*>(index.raw());
  for (std::int64_t n = 0; n < batch; ++n) {
    const std::int64_t length = options.lengths[static_cast<std::size_t>(n)];
    const std::int64_t last = options.reverse ? 0 : length - 1;
    rows[n] = n + batch * (length == 0 ? 0 : last + 1);
  }
  const Shape rows_of_all{(steps + 1) * batch, ys.dim(2)};
  return embedding(reshape(concat({insert_axis(start, 0), ys}, 0), rows_of_all), index);
}

void check_state(const Var& part, std::size_t index, std::int64_t n, std::int64_t size,
                 const char* caller) {
  if (part.shape() != Shape{n, size}) {
    fail(caller, fmt::format("part {} of the initial state is {}, expected [N={}, {}]", index,
                             part.shape().str(), n, size));
  }
}

void check_parts(std::size_t given, std::size_t expected, const char* caller) {
  if (given > expected) {
    fail(caller, fmt::format("the initial state has {} parts, expected {}, those of the cell",
                             given, expected));
  }
}

void check_stack(const RecurrentOptions& options) {
  if (options.layers < 1)
    fail("recurrent", fmt::format("layers is {}, expected 1 or more", options.layers));
  if (!(options.dropout >= 0 && options.dropout < 1)) {
    fail("recurrent", fmt::format("dropout is {}, expected 0 <= p < 1", options.dropout));
  }
  check_noise(options.noise);
  check_recompute(options.recompute, "recurrent");
}

Linear highway_of(const RecurrentOptions& o, std::int64_t input, std::int64_t output,
                  Random& random) {
  if (o.connection != Connection::highway || input != output) return {};
  Linear gate(input, output, random, true, o.dtype);
  add_in_place(gate.bias.value(), Tensor::full({}, -2, o.dtype));  // starts almost shut
  return gate;
}

Var connected(Connection connection, const Var& x, const Var& y, const Linear& highway) {
  if (connection == Connection::plain || x.dim(-1) != y.dim(-1)) return y;
  if (connection == Connection::residual) return x + y;
  return x + sigmoid(highway(x)) * (y - x);
}

void check_built(bool built) {
  if (!built)
    fail("recurrent",
         "the layers were made by the default constructor and have no weights; construct them with "
         "options first");
}

Var part_of_state(const Var& part, std::int64_t index, std::int64_t count, std::int64_t n,
                  std::int64_t size) {
  if (part.shape() != Shape{count, n, size}) {
    fail("recurrent",
         fmt::format(
             "a part of the initial state is {}, expected [layers * directions = {}, N = {}, {}]",
             part.shape().str(), count, n, size));
  }
  return select_index(part, 0, index);
}

Masks::Masks(std::span<const std::int64_t> lengths, const Var& xs) : all_running_until_(xs.dim(0)) {
  if (lengths.empty()) return;
  for (const std::int64_t length : lengths) {
    all_running_until_ = std::min(all_running_until_, length);
  }
  if (all_running_until_ == xs.dim(0)) return;
  running_ =
      tapeloop::detail::mask_within(lengths, xs.dim(0), xs.dtype(), xs.device()).insert_axis(2);
  zero_ = Tensor::zeros({}, xs.dtype(), xs.device());
}

Var Masks::at(std::int64_t t) const {
  return t < all_running_until_ ? Var() : Var(running_.select(0, t));
}

Restarts::Restarts(std::span<const std::uint8_t> resets, const Var& xs) : resets_(resets) {
  if (resets.empty()) return;
  flags_ =
      tapeloop::detail::mask_of_resets(resets, xs.dim(1), xs.dtype(), xs.device()).insert_axis(2);
}

Var Restarts::at(std::int64_t t) const {
  if (!flags_.defined()) return {};
  const auto row = resets_.subspan(static_cast<std::size_t>(t * flags_.dim(1)),
                                   static_cast<std::size_t>(flags_.dim(1)));
  const bool any = std::any_of(row.begin(), row.end(), [](std::uint8_t flag) { return flag != 0; });
  return any ? Var(flags_.select(0, t)) : Var();
}

PoolVector<std::uint8_t> reverse_resets(std::span<const std::uint8_t> begins, std::int64_t n) {
  PoolVector<std::uint8_t> result(begins.size(), 0);
  if (!begins.empty()) std::copy(begins.begin() + n, begins.end(), result.begin());
  return result;
}

}  // namespace tapeloop::nn::detail
