// SPDX-License-Identifier: MIT
// Recurrent layers in tests/reference: stacks of a cell, in one or two directions, with initial
// states, lengths, and given dropout masks between layers.
#pragma once

#include <algorithm>
#include <array>

#include "tests/nn/reference/case.h"

namespace reference {

// x as after dropout with the given mask. A mask of 0 and 1 drops elements, and the others are
// divided by 1 - p. A mask of other numbers has that factor in it.
inline Var masked(Case& c, const Var& x, const std::string& mask) {
  const std::vector<double> elements = c.stored(mask).to_vector<double>();
  const bool scaled =
      std::any_of(elements.begin(), elements.end(), [](double m) { return m != 0 && m != 1; });
  if (scaled) return x * c.var(mask);
  for (const char* rate : {"p", "dropout", "rate"}) {
    if (c.set(rate)) return x * c.var(mask) / (1 - c.number(rate, 0));
  }
  throw Unknown("a dropout mask without the probability p");
}

// The outputs of a stack, and its last state: each part [L*D, N, size].
template <class State>
struct StackOutputs {
  Var ys;
  State last;
};

// Layer by layer, as nn::Recurrent does, with the masks "input.mask_l0", ... after layers; a single
// mask "input.mask" is that after the first layer.
template <class R>
StackOutputs<typename R::State> run_layers(Case& c, const R& layers, Var xs,
                                           const typename R::State& start,
                                           std::span<const std::int64_t> lengths) {
  constexpr std::size_t kParts = R::State::parts;
  const int directions = layers.directions();
  std::array<std::vector<Var>, kParts> last;
  for (int layer = 0; layer < layers.options().layers; ++layer) {
    std::vector<Var> outputs;
    for (int direction = 0; direction < directions; ++direction) {
      const int index = layer * directions + direction;
      typename R::State own;
      for (std::size_t k = 0; k < kParts; ++k) {
        if (start[k].defined()) own[k] = select_index(start[k], 0, index);
      }
      const auto [ys, end] = nn::unroll(layers.cells()[static_cast<std::size_t>(index)], xs, own,
                                        {.reverse = direction == 1, .lengths = lengths});
      outputs.push_back(ys);
      for (std::size_t k = 0; k < kParts; ++k) last[k].push_back(end[k]);
    }
    xs = concat(outputs, -1);
    std::string mask = "input.mask_l" + std::to_string(layer);
    if (layer == 0 && c.has("input.mask")) mask = "input.mask";
    if (c.has(mask)) xs = masked(c, xs, mask);
  }
  StackOutputs<typename R::State> result{xs, {}};
  for (std::size_t k = 0; k < kParts; ++k) result.last[k] = stack(last[k]);
  return result;
}

// The initial state from "input.h0", "input.c0", ...; what the file lacks is zeros.
template <class State>
State start_of(Case& c, std::span<const char* const> parts) {
  State start;
  for (std::size_t k = 0; k < std::min(State::parts, parts.size()); ++k)
    start[k] = c.var_if("input." + std::string(parts[k]) + "0");
  return start;
}

inline constexpr std::array<const char*, 2> kLstmParts{"h", "c"};

// The layer R, made from `options`, on "input.x". Outputs: y, and the last state with the names of
// its parts: hn, cn, ...
template <class R>
Outputs run_recurrent(Case& c, const nn::RecurrentOptions& options,
                      const typename R::Options& own = {},
                      std::span<const char* const> parts = kLstmParts) {
  const R& layer = c.module<R>("", [&](Random& random) { return R(options, random, own); });
  const bool batch_first = c.flag("batch_first");
  const Var given = c.var("input.x");
  const Var xs = batch_first ? transpose(given, 0, 1) : given;
  const auto start = start_of<typename R::State>(c, parts);
  const std::vector<std::int64_t> lengths = c.integers_if("input.lengths");
  StackOutputs<typename R::State> run;
  if (c.names("input.mask").empty()) {
    auto [ys, last] = layer(xs, start, lengths);
    run = {ys, last};
  } else {
    run = run_layers(c, layer, xs, start, lengths);
  }
  Outputs result{{"y", batch_first ? transpose(run.ys, 0, 1) : run.ys}};
  for (std::size_t k = 0; k < std::min(R::State::parts, parts.size()); ++k)
    result[std::string(parts[k]) + "n"] = run.last[k];
  return result;
}

inline nn::RecurrentOptions sizes_of(Case& c) {
  return {.input = c.integer("input_size", 0),
          .hidden = c.integer("hidden_size", 0),
          .layers = static_cast<int>(c.integer("num_layers", 1)),
          .bidirectional = c.flag("bidirectional"),
          .bias = c.flag("bias", true),
          .dtype = c.dtype()};
}

inline Outputs recurrent(Case& c) {
  const nn::RecurrentOptions options = sizes_of(c);
  const std::string kind = c.kind();
  if (kind == "lstm") {
    return run_recurrent<nn::Lstm>(c, options, {.projection = c.integer("proj_size", 0)});
  }
  if (kind == "gru") {
    const bool before = c.text("reset", "after") == "before" || !c.flag("reset_after", true);
    return run_recurrent<nn::Gru>(c, options,
                                  {.reset = before ? nn::GruReset::before : nn::GruReset::after});
  }
  const bool relu = kind == "rnn_relu" || c.text("nonlinearity", "tanh") == "relu";
  return run_recurrent<nn::Rnn>(
      c, options, {.nonlinearity = relu ? nn::Nonlinearity::relu : nn::Nonlinearity::tanh});
}

// A stack within a model. The parameters "param.PREFIXweight_ih_l0", ... tell the cell and sizes:
// four gates are an LSTM, three a GRU, one an RNN.
inline Var run_stack(Case& c, const std::string& prefix, const Var& xs) {
  const std::string first = "param." + prefix;
  const Shape ih = c.stored(first + "weight_ih_l0").shape();
  const Shape hh = c.stored(first + "weight_hh_l0").shape();
  nn::RecurrentOptions options{.input = ih[1], .hidden = hh[1], .layers = 0, .dtype = c.dtype()};
  std::int64_t projection = 0;
  if (c.has(first + "weight_hr_l0")) {
    projection = hh[1];
    options.hidden = c.stored(first + "weight_hr_l0").dim(1);
  }
  while (c.has(first + "weight_ih_l" + std::to_string(options.layers))) ++options.layers;
  options.bias = c.has(first + "bias_ih_l0");
  options.bidirectional = c.has(first + "weight_ih_l0_reverse");
  const std::vector<std::int64_t> lengths = c.integers_if("input.lengths");
  const auto run = [&]<class R>(std::type_identity<R>, const typename R::Options& own = {}) {
    const R& layers = c.module<R>(prefix, [&](Random& random) { return R(options, random, own); });
    return layers(xs, {}, lengths).ys;
  };
  switch (hh[0] / options.hidden) {
    case 4: return run(std::type_identity<nn::Lstm>{}, {.projection = projection});
    case 3: return run(std::type_identity<nn::Gru>{});
    case 1: return run(std::type_identity<nn::Rnn>{});
    default: throw Unknown("recurrent weights " + hh.str());
  }
}

}  // namespace reference
