// SPDX-License-Identifier: MIT
// Construction and checks of the weights that cells share.
#include "tapeloop/nn/cells/gate_weights.h"

#include <fmt/format.h>

#include <cmath>
#include <mutex>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

namespace detail {

void check_sizes(const char* cell, const RecurrentOptions& o) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // gates * hidden is a size, too
  if (o.input >= 1 && o.hidden >= 1 && o.hidden <= kMost) return;
  fail(cell, fmt::format("input is {}, hidden {}; expected input and hidden of 1 or more, and "
                         "hidden of at most 2^40",
                         o.input, o.hidden));
}

void check_features(const char* cell, const Var& x, std::int64_t features) {
  if (x.rank() >= 1 && x.dim(-1) == features) return;
  fail(cell, fmt::format("x has {} features, the cell was built with input = {}; x is {}",
                         x.rank() < 1 ? 0 : x.dim(-1), features, x.value().describe()));
}

void check_equal_sizes(const char* cell, const RecurrentOptions& o) {
  if (o.input == o.hidden) return;
  fail(cell,
       fmt::format("input is {}, hidden {}; expected equal sizes, because each unit of y also "
                   "reads its own x; put an nn::Linear before the layer",
                   o.input, o.hidden));
}

double bound_of(const RecurrentOptions& o) {
  return 1.0 / std::sqrt(static_cast<double>(o.hidden));
}

Var drawn(const Shape& shape, const RecurrentOptions& o, Random& random) {
  return uniform_parameter(shape, bound_of(o), random, o.dtype);
}

Linear drawn_linear(const char* cell, std::int64_t rows, const RecurrentOptions& o,
                    Random& random) {
  check_sizes(cell, o);
  Linear result;
  result.weight = drawn({rows, o.input}, o, random);
  if (o.bias) result.bias = drawn({rows}, o, random);
  return result;
}

struct FixedNumbers::Kept {
  std::mutex mutex;
  Tensor copy;
};

FixedNumbers::FixedNumbers(const Tensor& values)
    : values_(values), kept_(std::make_shared<Kept>()) {}

Var FixedNumbers::like(const Var& parameter) const {
  const DType dtype = parameter.dtype();
  const Device device = parameter.device();
  const auto fits = [&](const Tensor& x) {
    return x.defined() && x.dtype() == dtype && x.device() == device;
  };
  if (fits(values_)) return Var(values_);
  {
    const std::scoped_lock lock(kept_->mutex);
    if (fits(kept_->copy)) return Var(kept_->copy);
  }
  // Without the lock: a copy to a GPU waits for other threads' captures, which may want the lock.
  Tensor copy = values_.to(dtype).to(device);
  const std::scoped_lock lock(kept_->mutex);
  kept_->copy = copy;
  return Var(std::move(copy));
}

Var identity_like(std::int64_t size, const Var& parameter) {
  // Ones in the first column of rows of size + 1 elements, read as rows of size elements.
  const Tensor rows = Tensor::zeros({size, size + 1}, parameter.dtype(), parameter.device());
  rows.select(1, 0).fill(1);
  return Var(rows.reshape({size * (size + 1)}).slice(0, 0, size * size).reshape({size, size}));
}

void add_to_bias(const Var& bias, std::int64_t first, std::int64_t size, double value) {
  if (!bias.defined() || value == 0) return;
  const Tensor part = bias.value().slice(0, first, first + size);
  add_in_place(part, Tensor::full({}, value, bias.dtype(), bias.device()));
}

void check_projection(const char* cell, const RecurrentOptions& o, std::int64_t projection) {
  check_sizes(cell, o);
  if (projection >= 0 && projection < o.hidden) return;
  fail(cell, fmt::format("projection {} is not smaller than hidden {}; expected 1 to hidden - 1, "
                         "or 0: no projection",
                         projection, o.hidden));
}

Var projection_weight(const RecurrentOptions& o, std::int64_t projection, Random& random) {
  if (projection == 0) return {};
  return drawn({projection, o.hidden}, o, random);
}

}  // namespace detail

GateWeights::GateWeights(const char* cell_name, int gates, const RecurrentOptions& o,
                         Random& random, std::int64_t outputs)
    : cell(cell_name) {
  detail::check_sizes(cell, o);
  weight_ih = detail::drawn({gates * o.hidden, o.input}, o, random);
  weight_hh = detail::drawn({gates * o.hidden, outputs > 0 ? outputs : o.hidden}, o, random);
  if (o.bias) {
    bias_ih = detail::drawn({gates * o.hidden}, o, random);
    bias_hh = detail::drawn({gates * o.hidden}, o, random);
  }
}

Var GateWeights::input(const Var& x, bool with_both_biases) const {
  detail::check_features(cell, x, weight_ih.dim(1));
  return input_projection(with_both_biases)(x);
}

Linear GateWeights::input_projection(bool with_both_biases) const {
  Linear result;
  result.weight = weight_ih;
  result.bias = input_bias(with_both_biases);
  return result;
}

Var GateWeights::input(const Tensor& symbols, bool with_both_biases) const {
  if (!symbols.defined() || symbols.dtype() != DType::int64) {
    fail(cell, fmt::format("symbols must be int64, got {}; a float tensor is passed as Var(x)",
                           symbols.describe()));
  }
  Var rows = transpose(weight_ih);
  return embedding(bias_ih.defined() ? rows + input_bias(with_both_biases) : rows, symbols);
}

Var GateWeights::input_bias(bool with_both_biases) const {
  return bias_hh.defined() && with_both_biases ? bias_ih + bias_hh : bias_ih;
}

}  // namespace tapeloop::nn
