// SPDX-License-Identifier: MIT
// The layers, and the times for cells that read them.
#include "examples/common/cells/cells.h"

namespace common {

namespace nn = tapeloop::nn;
using tapeloop::Tensor;
using tapeloop::Var;

namespace {

nn::RecurrentOptions for_cell(nn::RecurrentOptions options, const nn::CellChoice& choice) {
  if (nn::cell_reads_time(choice.cell())) ++options.input;
  if (nn::cell_has_equal_sizes(choice.cell())) options.input = options.hidden;
  return options;
}

// The numbers of the steps [T, N, 1]; `first` [1, N, 1]: of the first one.
Var times_of(const Tensor& first, std::int64_t steps) {
  std::vector<double> numbers;
  for (std::int64_t t = 0; t < steps; ++t) numbers.push_back(static_cast<double>(t));
  const Tensor offsets = Tensor::from<double>({steps, 1, 1}, numbers);
  return Var(first) + Var(offsets.to(first.dtype()).to(first.device()));
}

// Symbols as one-hot vectors.
Var one_hot(const Tensor& symbols, const nn::RecurrentOptions& options) {
  const std::int64_t size = options.input - 1;
  std::vector<double> ones(static_cast<std::size_t>(size * size));
  for (std::int64_t i = 0; i < size; ++i) ones[static_cast<std::size_t>(i * (size + 1))] = 1;
  return embedding(
      Var(Tensor::from<double>({size, size}, ones).to(options.dtype).to(symbols.device())),
      symbols);
}

}  // namespace

Recurrent::Recurrent(const std::string& cell, const nn::RecurrentOptions& options,
                     tapeloop::Random& random)
    : layers_(for_cell(options, cell), random, cell) {
  const nn::CellChoice choice(cell);
  if (nn::cell_has_equal_sizes(choice.cell()) && options.input != options.hidden) {
    before_ = nn::Linear(options.input, options.hidden, random);
  }
}

template <class Input>
Var Recurrent::run(const Input& xs, Memory& memory) const {
  nn::AnyState state;
  const std::size_t parts = layers_.cells()[0].state_sizes().size();
  for (std::size_t k = 0; k < parts && k < memory.size(); ++k) state[k] = Var(memory[k]);
  const auto [ys, last] = layers_(xs, state);
  memory.clear();
  for (const Var& part : last) memory.push_back(part.value());
  return ys;
}

Var Recurrent::operator()(const Var& xs, Memory& memory) const {
  if (before_.weight.defined()) return run(before_(xs), memory);
  if (!reads_time()) return run(xs, memory);
  const Tensor first =
      memory.empty() ? Tensor::zeros({1, xs.dim(1), 1}, xs.dtype(), xs.device()) : memory.back();
  const Var ys = run(tapeloop::concat({xs, times_of(first, xs.dim(0))}, -1), memory);
  memory.push_back(
      times_of(first, xs.dim(0) + 1).value().slice(0, xs.dim(0), xs.dim(0) + 1).clone());
  return ys;
}

Var Recurrent::operator()(const Tensor& symbols, Memory& memory) const {
  if (before_.weight.defined()) {
    return run(embedding(transpose(before_.weight), symbols) + before_.bias, memory);
  }
  return reads_time() ? (*this)(one_hot(symbols, layers_.options()), memory) : run(symbols, memory);
}

}  // namespace common
