// SPDX-License-Identifier: MIT
// Steps of a model, greedy decoding and sampling. Beam search is in beam_search.cpp.
#include "tapeloop/nn/decode/decoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/decode/decode_step.h"

namespace tapeloop::nn {

namespace detail {

static void check_logits(const Tensor& logits, std::int64_t rows, std::int64_t end) {
  if (!logits.defined() || logits.rank() != 2 || logits.dim(0) != rows ||
      logits.dtype() == DType::int64) {
    fail("decode", fmt::format("the model's step gave logits {}, expected [{}, V] of float32 or "
                               "float64",
                               logits.describe(), rows));
  }
  if (end >= logits.dim(1)) {
    fail("decode",
         fmt::format("the end symbol {} is outside the model's {} classes", end, logits.dim(1)));
  }
}

// As contiguous float64 on the CPU, to be read element by element.
static Tensor read_here(const Tensor& x) { return x.cpu().to(DType::float64).contiguous(); }

DecodeStep take_step(StepDecoder& model, const Tensor& symbols, std::int64_t end) {
  StepDecoder::Result result = model.step(symbols);
  check_logits(result.logits, symbols.dim(0), end);
  DecodeStep step{symbols.dim(0), result.logits.dim(1), {}, {}, {}};
  step.normaliser = read_here(logsumexp(Var(result.logits), {-1}).value());
  step.logits = result.logits.cpu().contiguous();
  if (result.weights.defined()) {
    if (result.weights.rank() != 2 || result.weights.dim(0) != step.rows) {
      fail("decode", fmt::format("the model's step gave weights {}, expected [{}, S]",
                                 result.weights.describe(), step.rows));
    }
    step.weights = read_here(result.weights);
  }
  return step;
}

double DecodeStep::log_p(std::int64_t row, std::int64_t symbol) const {
  return logits.at({row, symbol}) - normaliser.read<double>()[row];
}

void DecodeStep::log_p(std::int64_t row, std::span<double> to) const {
  const double total = normaliser.read<double>()[row];
  with_float_type(logits.dtype(), [&]<class T>(T) {
    const T* from = logits.read<T>() + row * classes;
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(from[i]) - total;
  });
}

void DecodeStep::check_row(std::int64_t i) const {
  if (std::isfinite(normaliser.read<double>()[i])) return;
  fail("decode", fmt::format("the logits of row {} hold NaN or +inf, or are -inf for every class; "
                             "the model has diverged, its input was bad, or it masks every class",
                             i));
}

void check_options(const StepDecoder& model, const DecodeOptions& o) {
  if (model.sentences() < 1 || o.max_length < 1 || o.start < 0 || o.end < 0) {
    fail(
        "decode",
        fmt::format("{} sentences, max_length {}, start {}, end {}: expected at least one sentence "
                    "and step, and symbols of 0 or more",
                    model.sentences(), o.max_length, o.start, o.end));
  }
}

Tensor stacked(const std::vector<Tensor>& rows) {
  if (rows.empty() || !rows[0].defined()) return {};
  std::vector<Var> vars(rows.begin(), rows.end());
  return stack(std::span<const Var>(vars)).value();
}

}  // namespace detail

namespace {

using detail::DecodeStep;

// Chooses one symbol for each sentence at each step by choose(step, found) -> [N] int64. The
// symbols of sentences that have ended do not matter.
template <class Choose>
std::vector<Hypothesis> decode_rows(StepDecoder& model, const DecodeOptions& o, Choose choose) {
  detail::check_options(model, o);
  PauseRecording pause;
  model.restart();
  const std::int64_t n = model.sentences();
  std::vector<Hypothesis> found(static_cast<std::size_t>(n));
  std::vector<std::vector<Tensor>> weights(found.size());
  Tensor symbols = Tensor::full({n}, static_cast<double>(o.start), DType::int64);
  std::int64_t running = n;
  for (std::int64_t t = 0; t < o.max_length && running > 0; ++t) {
    const DecodeStep step = detail::take_step(model, symbols, o.end);
    symbols = choose(step, found);
    for (std::int64_t row = 0; row < n; ++row) {
      Hypothesis& h = found[static_cast<std::size_t>(row)];
      if (h.ended) continue;
      step.check_row(row);
      const std::int64_t symbol = symbols.read<std::int64_t>()[row];
      h.log_probability += step.log_p(row, symbol);
      weights[static_cast<std::size_t>(row)].push_back(step.weights_of(row));
      h.ended = symbol == o.end;
      if (h.ended) {
        --running;
      } else {
        h.symbols.push_back(symbol);
      }
    }
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    found[i].score = found[i].log_probability;
    found[i].weights = detail::stacked(weights[i]);
  }
  return found;
}

}  // namespace

std::vector<Hypothesis> decode_greedily(StepDecoder& model, const DecodeOptions& options) {
  return decode_rows(model, options,
                     [](const DecodeStep& step, const auto&) { return argmax(step.logits); });
}

std::vector<Hypothesis> decode_by_sampling(StepDecoder& model, const DecodeOptions& options,
                                           Random& random, const SampleOptions& sampling) {
  return decode_rows(
      model, options, [&](const DecodeStep& step, const std::vector<Hypothesis>& found) {
        return detail::sample_rows(step.logits, random, sampling, [&](std::int64_t row) {
          return !found[static_cast<std::size_t>(row)].ended;
        });
      });
}

}  // namespace tapeloop::nn
