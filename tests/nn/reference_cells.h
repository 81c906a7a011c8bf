// SPDX-License-Identifier: MIT
// Relatives of the LSTM and the GRU in tests/reference.
#pragma once

#include "tests/nn/reference_recurrent.h"

namespace reference {

// The value of a setting as one of a table's values. Throws Unknown if the table lacks it.
template <class T>
T choice(Case& c, const char* setting, const char* otherwise,
         std::initializer_list<std::pair<const char*, T>> table) {
  const std::string text = c.text(setting, otherwise);
  for (const auto& [name, value] : table) {
    if (text == name) return value;
  }
  throw Unknown(std::string(setting) + " " + text);
}

// Full gate recurrence: the library has the three gates as parts of their own, the file as one.
inline Outputs full_gate_lstm(Case& c, nn::Peephole peephole) {
  const auto options = sizes_of(c);
  const auto& layer = c.module<nn::FullGateLstm>("", [&](Random& random) {
    return nn::FullGateLstm(options, random,
                            {.peephole = peephole, .projection = c.integer("proj_size", 0)});
  });
  nn::State<5> start;
  start[0] = c.var_if("input.h0");
  start[1] = c.var_if("input.c0");
  if (const Var gates = c.var_if("input.g0"); gates.defined()) {
    const auto parts = chunk(gates, 3, -1);
    for (std::size_t k = 0; k < 3; ++k) start[2 + k] = parts[k];
  }
  const auto [ys, last] = layer(c.var("input.x"), start, c.integers_if("input.lengths"));
  return {
      {"y", ys}, {"hn", last[0]}, {"cn", last[1]}, {"gn", concat({last[2], last[3], last[4]}, -1)}};
}

inline Outputs lstm_variant(Case& c) {
  using V = nn::LstmVariant;
  const std::string variant = c.text("variant", "V");
  const auto peephole = choice<nn::Peephole>(c, "peephole", "none",
                                             {{"none", nn::Peephole::none},
                                              {"diagonal", nn::Peephole::diagonal},
                                              {"full", nn::Peephole::full}});
  if (variant == "FGR") return full_gate_lstm(c, peephole);
  return run_recurrent<nn::PeepholeLstm>(
      c, sizes_of(c),
      {.variant = choice<V>(c, "variant", "V",
                            {{"V", V::base},
                             {"NP", V::base},
                             {"NIG", V::no_input_gate},
                             {"NFG", V::no_forget_gate},
                             {"NOG", V::no_output_gate},
                             {"NIAF", V::no_input_activation},
                             {"NOAF", V::no_output_activation},
                             {"CIFG", V::coupled}}),
       .peephole = variant == "NP" ? nn::Peephole::none : peephole,
       .projection = c.integer("proj_size", 0)});
}

inline Outputs layer_norm_lstm(Case& c) {
  return run_recurrent<nn::LayerNormLstm>(
      c, sizes_of(c),
      {.norm = choice<nn::GateNorm>(
           c, "norm", "whole",
           {{"whole", nn::GateNorm::whole}, {"gatewise", nn::GateNorm::gatewise}}),
       .carry = choice<nn::Carry>(c, "carry", "raw",
                                  {{"raw", nn::Carry::raw}, {"normalised", nn::Carry::normalised}}),
       .epsilon = c.number("eps", 1e-5)});
}

inline Outputs layer_norm_gru(Case& c) {
  return run_recurrent<nn::LayerNormGru>(c, sizes_of(c), {.epsilon = c.number("eps", 1e-5)});
}

}  // namespace reference
