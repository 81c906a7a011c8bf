// SPDX-License-Identifier: MIT
// The cell around the formula of two_clocks.h, a model around the cell, and its task: the adding
// problem.
// Nothing here says on which device it runs.   T time steps, N sequences, I inputs, H hidden units
#pragma once

#include "examples/custom_cell/two_clocks.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"

namespace custom_cell {

using namespace tapeloop;

// 2. The cell: its parameters and its step. It inherits from nothing. I inputs, H hidden units, N
// sequences.
struct TwoClocksCell {
  using State = nn::State<2>;  // h and slow; the first is the output
  nn::Linear from_input;       // I -> 4H, with the bias
  nn::Linear from_state;       // H -> 4H

  TwoClocksCell(const nn::RecurrentOptions& o, Random& random)
      : from_input(o.input, 4 * o.hidden, random, true, o.dtype),
        from_state(o.hidden, 4 * o.hidden, random, false, o.dtype) {}

  std::array<std::int64_t, 2> state_sizes() const {
    return {from_state.weight.dim(1), from_state.weight.dim(1)};
  }
  // The part that does not need the state: it runs for all time steps at once.
  Var input(const Var& x) const { return from_input(x); }
  // One step: h', slow' = TwoClocks(the four columns of input(x) + W h, h, slow).
  Recurrence recurrence() const {
    return {TwoClocks{}, of::input() + of::product(from_state.weight), of::state(0), of::state(1)};
  }
  void visit(nn::Visitor& v) const {
    v("from_input", from_input);
    v("from_state", from_state);
  }
};

// A model around it. Recurrent takes any cell, and stacks, reverses and masks it as it does for
// nn::Lstm.
struct Adder {
  nn::Recurrent<TwoClocksCell> cell;
  nn::Linear head;
  Adder(std::int64_t hidden, Random& random, DType dtype = DType::float32)
      : cell({.input = 2, .hidden = hidden, .dtype = dtype}, random),
        head(hidden, 1, random, true, dtype) {}
  Var operator()(const Var& xs) const {  // [T, N, 2] -> [N, 1]
    auto [ys, last] = cell(xs);
    return head(select_index(last.h(), 0, 0));
  }
  void visit(nn::Visitor& v) const {
    v("cell", cell);
    v("head", head);
  }
};

struct Batch {
  Tensor xs;      // [T, N, 2]: a number in [0, 1), and a mark
  Tensor target;  // [N, 1]: the sum of the two marked numbers
  Batch to(Device device) const { return {xs.to(device), target.to(device)}; }
};

inline Batch draw(std::int64_t steps, std::int64_t count, Random& random) {
  Batch batch{Tensor::zeros({steps, count, 2}), Tensor::zeros({count, 1})};
  auto xs = [&](std::int64_t t, std::int64_t n, std::int64_t k) -> float& {
    return batch.xs.data<float>()[(t * count + n) * 2 + k];
  };
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t t = 0; t < steps; ++t) xs(t, n, 0) = static_cast<float>(random.uniform());
    auto half = static_cast<std::uint64_t>(steps / 2);
    auto first = static_cast<std::int64_t>(random.below(half));
    auto second =
        static_cast<std::int64_t>(half + random.below(static_cast<std::uint64_t>(steps) - half));
    for (std::int64_t t : {first, second}) {
      xs(t, n, 1) = 1;
      batch.target.data<float>()[n] += xs(t, n, 0);
    }
  }
  return batch;
}

// Makes one update of the weights. Returns the loss before it.
inline double update(const Adder& model, optim::Adam& adam, const Batch& batch) {
  Tape tape;
  const Var loss = mse(model(Var(batch.xs)), Var(batch.target));
  tape.backward(loss);
  optim::clip_grad_norm(adam.parameters(), 1.0);
  adam.step();
  adam.zero_grad();
  return loss.item();
}

}  // namespace custom_cell
