// SPDX-License-Identifier: MIT
// MD-LSTM cells for tests: every variant, and the same step by ordinary operations.
#pragma once

#include "tapeloop/nn/nn.h"

namespace tapeloop::test {

struct MdKind {
  const char* name;
  nn::MdLstmOptions options;
};

inline const MdKind kMdKinds[] = {
    {"standard", {}},
    {"mean", {.variant = nn::MdVariant::mean}},
    {"stable", {.variant = nn::MdVariant::stable}},
    {"stable by softmax", {.variant = nn::MdVariant::stable, .weights = nn::MdWeights::softmax}},
    {"leaky", {.variant = nn::MdVariant::leaky}},
    {"leaky by softmax", {.variant = nn::MdVariant::leaky, .weights = nn::MdWeights::softmax}},
    {"peepholes", {.peepholes = true}},
    {"mean with peepholes", {.variant = nn::MdVariant::mean, .peepholes = true}},
};

// MdLstmCell with step() instead of recurrence(), from the equations of the papers.
struct MdLstmByOperations {
  using State = nn::State<2>;
  using Options = nn::MdLstmOptions;
  nn::MdLstmCell cell;
  MdLstmByOperations(const nn::GridOptions& grid, Random& random, const Options& own = {})
      : cell(grid, random, own) {}
  std::array<std::int64_t, 2> state_sizes() const { return cell.state_sizes(); }
  void visit(nn::Visitor& v) const { cell.visit(v); }
  State step(const Var& x, const nn::Predecessors<State>& before) const {
    const std::int64_t H = cell.hidden();
    const auto D = static_cast<std::size_t>(cell.dimensions());
    PoolVector<Var> hs;
    for (const State& s : before) hs.push_back(s.h());
    const Var z = linear(concat(hs, 1), cell.weight_hh, linear(x, cell.weight_ih, cell.bias_ih));
    const auto gate = [&](std::size_t k) {
      const auto first = static_cast<std::int64_t>(k) * H;
      return slice(z, 1, first, first + H);
    };
    const auto peephole = [&](std::size_t k, const Var& c) {
      const auto first = static_cast<std::int64_t>(k) * H;
      if (!cell.weight_ch.defined()) return Var(Tensor::zeros(c.shape(), c.dtype()));
      return slice(cell.weight_ch, 0, first, first + H) * c;
    };
    const nn::MdVariant variant = cell.options.variant;
    if (variant == nn::MdVariant::standard || variant == nn::MdVariant::mean) {
      Var i = gate(0), sum;
      for (std::size_t d = 0; d < D; ++d) {
        i = i + peephole(d, before[d][1]);
        const Var kept = sigmoid(gate(1 + d) + peephole(D + d, before[d][1])) * before[d][1];
        sum = d == 0 ? kept : sum + kept;
      }
      if (variant == nn::MdVariant::mean) sum = sum / static_cast<double>(D);
      const Var c = sum + sigmoid(i) * tanh(gate(1 + D));
      return State(sigmoid(gate(2 + D) + peephole(2 * D, c)) * tanh(c), c);
    }
    Var weights, sum;
    for (std::size_t d = 0; d < D; ++d) {
      const Var l = gate(4 + d);
      const Var w = cell.options.weights == nn::MdWeights::sigmoid ? sigmoid(l) : exp(l);
      weights = d == 0 ? w : weights + w;
      sum = d == 0 ? w * before[d][1] : sum + w * before[d][1];
    }
    const Var m = sum / weights;
    if (variant == nn::MdVariant::stable) {
      const Var c = sigmoid(gate(1)) * m + sigmoid(gate(0)) * tanh(gate(2));
      return State(sigmoid(gate(3)) * tanh(c), c);
    }
    const Var c = (1.0 - sigmoid(gate(0))) * tanh(gate(1)) + sigmoid(gate(0)) * m;
    return State(tanh(sigmoid(gate(2)) * c + sigmoid(gate(3)) * m), c);
  }
};
static_assert(nn::GridCell<MdLstmByOperations> && !nn::HasRecurrence<MdLstmByOperations>);
static_assert(nn::GridCell<nn::MdLstmCell> && !nn::HasGridStep<nn::MdLstmCell>);

}  // namespace tapeloop::test
