// SPDX-License-Identifier: MIT
// The layers, and the times for cells that read them.
#include "examples/common/cells.h"

namespace common {

namespace nn = tapeloop::nn;
using tapeloop::Tensor;
using tapeloop::Var;

namespace {

nn::RecurrentOptions with_time(nn::RecurrentOptions options, const nn::CellChoice& choice) {
  if (nn::cell_reads_time(choice.cell())) ++options.input;
  return options;
}

// xs [T, N, I] and the number of each step as a last column.
Var beside_time(const Var& xs, const Tensor& first) {
  const std::int64_t steps = xs.dim(0), n = xs.dim(1);
  std::vector<double> times;
  const double begin = first.defined() ? first.item() : 0;
  for (std::int64_t t = 0; t < steps; ++t) {
    for (std::int64_t i = 0; i < n; ++i) times.push_back(begin + static_cast<double>(t));
  }
  const Var column(Tensor::from<double>({steps, n, 1}, times).to(xs.dtype()).to(xs.device()));
  return concat({xs, column}, -1);
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
    : layers_(with_time(options, cell), random, cell) {}

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
  if (!reads_time()) return run(xs, memory);
  const Tensor first = memory.empty() ? Tensor() : memory.back();
  const double begin = first.defined() ? first.item() : 0;
  const Var ys = run(beside_time(xs, first), memory);
  memory.push_back(Tensor::full({1}, begin + static_cast<double>(xs.dim(0))));
  return ys;
}

Var Recurrent::operator()(const Tensor& symbols, Memory& memory) const {
  return reads_time() ? (*this)(one_hot(symbols, layers_.options()), memory) : run(symbols, memory);
}

}  // namespace common
