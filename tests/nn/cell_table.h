// SPDX-License-Identifier: MIT
// Every built-in cell with its options. A row here gives a cell all checks of cell_table_test.cpp.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tapeloop/nn/nn.h"

namespace tapeloop::nn {

// A stack of some cell, without its type.
struct AnyStack {
  ParameterList parameters;
  std::vector<std::int64_t> state_sizes;
  // ys [T, N, D*H], and the parts of the last state [L*D, N, size].
  std::function<PoolVector<Var>(const Var& xs, std::span<const Var> state,
                                std::span<const std::int64_t> lengths)>
      run;
  // The same where sequences begin within the rows, begins [T, N].
  std::function<PoolVector<Var>(const Var& xs, std::span<const Var> state,
                                std::span<const std::uint8_t> begins)>
      run_several;
  // One step of the first cell by operations: x [N, I], parts [N, size] -> the next parts.
  std::function<PoolVector<Var>(const Var& x, std::span<const Var> state)> step;
  // What the stack makes of the parts [N, size] that are given as the initial state.
  std::function<PoolVector<Var>(std::span<const Var> state)> initial;
  std::function<Stepper()> stepper;
  std::function<void(DType)> convert;
};

template <Cell C>
AnyStack any_stack(const RecurrentOptions& options, const OptionsOf<C>& own, std::uint64_t seed) {
  Random random(seed);
  const auto model = std::make_shared<Recurrent<C>>(options, random, own);
  const auto sizes = model->cells()[0].state_sizes();
  const auto all = [](const Var& first, const auto& state) {
    PoolVector<Var> result;
    if (first.defined()) result.push_back(first);
    result.insert(result.end(), state.begin(), state.end());
    return result;
  };
  const auto state_of = [](std::span<const Var> parts) {
    return parts.empty() ? typename C::State() : typename C::State(parts);
  };
  AnyStack result;
  result.parameters = parameters(*model);
  result.state_sizes.assign(sizes.begin(), sizes.end());
  result.run = [=](const Var& xs, std::span<const Var> state,
                   std::span<const std::int64_t> lengths) {
    const auto [ys, last] = (*model)(xs, state_of(state), lengths);
    return all(ys, last);
  };
  result.run_several = [=](const Var& xs, std::span<const Var> state,
                           std::span<const std::uint8_t> begins) {
    const auto [ys, last] = (*model)(xs, state_of(state), {}, begins);
    return all(ys, last);
  };
  result.step = [=](const Var& x, std::span<const Var> state) {
    const C& cell = model->cells()[0];
    return all(Var(), nn::step(cell, cell.input(x), typename C::State(state)));
  };
  result.initial = [=](std::span<const Var> state) {
    typename C::State start(state);
    if constexpr (requires(const C& cell) { cell.initial(start); }) {
      start = model->cells()[0].initial(start);
    }
    return all(Var(), start);
  };
  result.stepper = [=] { return make_stepper(*model); };
  result.convert = [=](DType dtype) { nn::convert(*model, dtype); };
  return result;
}

struct CellRow {
  const char* name;
  std::function<AnyStack(const RecurrentOptions&, std::uint64_t seed)> make;
  bool stacked = true;       // another layer may stand on it
  bool has_noise = true;     // it has a recurrence, in which noise acts
  bool has_memory = true;    // zoneout acts on more than h
  bool has_products = true;  // products of the step read h
  bool drops_inputs = true;  // noise may act on all inputs

  CellRow without_products() const {
    CellRow result = *this;
    result.has_products = false;
    return result;
  }
  // `all` without what the cell refuses.
  Noise noise(Noise all) const {
    if (!has_noise) return {};
    if (!has_memory) all.zoneout_c = 0;
    if (!has_products) all.states = all.weights = 0;
    if (!drops_inputs) all.inputs = 0;
    return all;
  }
};

// Whether zoneout acts on more than h.
template <Cell C>
constexpr bool has_memory() {
  if constexpr (requires { std::size_t{C::zoned_parts}; }) return C::zoned_parts > 1;
  return C::State::parts > 1;
}

template <Cell C>
CellRow cell_row(const char* name, const OptionsOf<C>& own = {}, bool stacked = true,
                 bool noise = true) {
  return {name,
          [own](const RecurrentOptions& options, std::uint64_t seed) {
            return any_stack<C>(options, own, seed);
          },
          stacked,
          noise,
          has_memory<C>(),
          true,
          !std::is_same_v<C, PhasedLstmCell>};
}

// For 4 inputs and 4 hidden units.
inline std::vector<CellRow> cell_rows() {
  using V = LstmVariant;
  return {
      cell_row<RnnCell>("rnn"),
      cell_row<RnnCell>("rnn, relu", {.nonlinearity = Nonlinearity::relu}),
      cell_row<LstmCell>("lstm"),
      cell_row<LstmCell>("lstm, projection", {.projection = 2}),
      cell_row<GruCell>("gru"),
      cell_row<GruCell>("gru, reset before", {.reset = GruReset::before}),
      cell_row<PeepholeLstmCell>("peephole lstm"),
      cell_row<PeepholeLstmCell>("peephole lstm, full, projection",
                                 {.peephole = Peephole::full, .projection = 3}),
      cell_row<PeepholeLstmCell>("NIG", {.variant = V::no_input_gate}),
      cell_row<PeepholeLstmCell>("NFG, full",
                                 {.variant = V::no_forget_gate, .peephole = Peephole::full}),
      cell_row<PeepholeLstmCell>("NOG", {.variant = V::no_output_gate}),
      cell_row<PeepholeLstmCell>("NIAF, none",
                                 {.variant = V::no_input_activation, .peephole = Peephole::none}),
      cell_row<PeepholeLstmCell>("NIAF", {.variant = V::no_input_activation}),
      cell_row<PeepholeLstmCell>("NOAF", {.variant = V::no_output_activation}),
      cell_row<PeepholeLstmCell>("CIFG", {.variant = V::coupled}),
      cell_row<FullGateLstmCell>("FGR"),
      cell_row<FullGateLstmCell>("FGR, full", {.peephole = Peephole::full, .projection = 2}),
      cell_row<LayerNormLstmCell>("layer norm lstm"),
      cell_row<LayerNormLstmCell>("layer norm lstm, gatewise, normalised",
                                  {.norm = GateNorm::gatewise, .carry = Carry::normalised}),
      cell_row<LayerNormGruCell>("layer norm gru"),
      cell_row<MguCell>("mgu"),
      cell_row<UgrnnCell>("ugrnn"),
      cell_row<MutCell>("mut1", {.variant = 1}),
      cell_row<MutCell>("mut2", {.variant = 2}),
      cell_row<MutCell>("mut3", {.variant = 3}),
      cell_row<RecurrentHighwayCell>("recurrent highway", {.depth = 3}),
      cell_row<RecurrentHighwayCell>("recurrent highway, carry", {.depth = 2, .coupled = false}),
      cell_row<IndRnnCell>("indrnn").without_products(),
      cell_row<IndRnnCell>("indrnn, tanh", {.nonlinearity = Nonlinearity::tanh}).without_products(),
      cell_row<MinGruCell>("min gru").without_products(),
      cell_row<MinGruCell>("min gru, positive", {.positive = true}).without_products(),
      cell_row<MinGruCell>("min gru, initial through g",
                           {.positive = true, .initial = MinInitial::through_g})
          .without_products(),
      cell_row<MinLstmCell>("min lstm").without_products(),
      cell_row<MinLstmCell>("min lstm, positive", {.positive = true, .normalise = false})
          .without_products(),
      cell_row<SruCell>("sru").without_products(),
      cell_row<SruCell>("sru 1, tanh", {.version = 1, .tanh = true, .scale = 1.5})
          .without_products(),
      cell_row<SlstmCell>("slstm"),
      cell_row<SlstmCell>("slstm, heads, exponential",
                          {.heads = 2, .forget = ForgetGate::exponential}),
      cell_row<MlstmCell>("mlstm", {}, true, false),
      cell_row<MlstmCell>(
          "mlstm, heads, exponential, chunks",
          {.heads = 2, .forget = ForgetGate::exponential, .epsilon = 1e-3, .chunk = 2}, true,
          false),
      cell_row<QrnnCell>("qrnn").without_products(),
      cell_row<QrnnCell>("qrnn, f, one tap", {.pool = QrnnPool::f, .window = 1}).without_products(),
      cell_row<QrnnCell>("qrnn, ifo, three taps", {.pool = QrnnPool::ifo, .window = 3})
          .without_products(),
      cell_row<LruCell>("lru", {.state = 3}).without_products(),
      cell_row<S4dCell>("s4d", {.state = 2, .dt_min = 0.1, .dt_max = 0.5}).without_products(),
      cell_row<ClockworkCell>("clockwork", {.periods = {1, 2}}),
      cell_row<PhasedLstmCell>("phased lstm", {}, false),
      cell_row<LmuCell>("lmu", {.order = 3, .theta = 5}),
  };
}

}  // namespace tapeloop::nn
