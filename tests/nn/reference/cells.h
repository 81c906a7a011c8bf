// SPDX-License-Identifier: MIT
// Relatives of the LSTM and the GRU in tests/reference.
#pragma once

#include "tests/nn/reference/recurrent.h"

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

inline Outputs batch_norm_lstm(Case& c) {
  if (!c.flag("train", true)) throw Unknown("train = false");
  return run_recurrent<nn::BatchNormLstm>(
      c, sizes_of(c), {.steps = c.var("input.x").dim(0), .epsilon = c.number("eps", 1e-5)});
}

// --- cells of one state or two ---

inline constexpr std::array<const char*, 1> kH{"h"};

inline Outputs mgu(Case& c) { return run_recurrent<nn::Mgu>(c, sizes_of(c), {}, kH); }

inline Outputs mut(Case& c) {
  const int variant = static_cast<int>(c.integer("variant", 1));
  return run_recurrent<nn::Mut>(c, sizes_of(c), {.variant = variant}, kH);
}

inline Outputs recurrent_highway(Case& c) {
  return run_recurrent<nn::RecurrentHighway>(
      c, sizes_of(c),
      {.depth = static_cast<int>(c.integer("depth", 1)), .coupled = c.flag("coupled", true)}, kH);
}

inline Outputs indrnn(Case& c) {
  const auto f = choice<nn::Nonlinearity>(
      c, "nonlinearity", "relu",
      {{"relu", nn::Nonlinearity::relu}, {"tanh", nn::Nonlinearity::tanh}});
  return run_recurrent<nn::IndRnn>(c, sizes_of(c), {.nonlinearity = f}, kH);
}

inline nn::MinInitial min_initial(Case& c) {
  return choice<nn::MinInitial>(
      c, "initial", "state",
      {{"state", nn::MinInitial::state}, {"through_g", nn::MinInitial::through_g}});
}
inline Outputs min_gru(Case& c) {
  return run_recurrent<nn::MinGru>(c, sizes_of(c),
                                   {.positive = c.flag("positive"), .initial = min_initial(c)}, kH);
}

inline Outputs min_lstm(Case& c) {
  return run_recurrent<nn::MinLstm>(c, sizes_of(c),
                                    {.positive = c.flag("positive"),
                                     .normalise = c.flag("normalise", true),
                                     .initial = min_initial(c)},
                                    kH);
}

// The state of these cells is one part in the file; the library has h, or a count, beside it.
template <class R>
Outputs run_parts(Case& c, const typename R::Options& own,
                  std::array<const char*, R::State::parts> parts) {
  const R& layer = c.module<R>("", [&](Random& random) { return R(sizes_of(c), random, own); });
  typename R::State start;
  for (std::size_t k = 0; k < parts.size(); ++k) {
    if (parts[k] != nullptr) start[k] = c.var_if("input." + std::string(parts[k]) + "0");
  }
  const auto [ys, last] = layer(c.var("input.x"), start, c.integers_if("input.lengths"));
  Outputs result{{"y", ys}};
  for (std::size_t k = 0; k < parts.size(); ++k) {
    if (parts[k] != nullptr) result[std::string(parts[k]) + "n"] = last[k];
  }
  return result;
}

inline Outputs sru(Case& c) {
  return run_parts<nn::Sru>(c,
                            {.version = static_cast<int>(c.integer("version", 2)),
                             .tanh = c.flag("tanh"),
                             .scale = c.number("scale", 1)},
                            {nullptr, "c"});
}

inline Outputs qrnn(Case& c) {
  return run_parts<nn::Qrnn>(
      c,
      {.pool = choice<nn::QrnnPool>(
           c, "pool", "fo",
           {{"f", nn::QrnnPool::f}, {"fo", nn::QrnnPool::fo}, {"ifo", nn::QrnnPool::ifo}}),
       .window = c.integer("window", 2)},
      {nullptr, "c", nullptr});
}

inline Outputs lru(Case& c) {
  return run_parts<nn::Lru>(c, {.state = c.integer("state_size", 0)}, {nullptr, "re", "im"});
}

// The file's states are [L*D, N, H, S], the library's [L*D, N, S*H].
inline Outputs s4d(Case& c) {
  const nn::S4d& layer = c.module<nn::S4d>("", [&](Random& random) {
    return nn::S4d(sizes_of(c), random, {.state = c.integer("state_size", 1)});
  });
  const auto flat = [](const Var& x) {
    if (!x.defined()) return x;
    return reshape(transpose(x), Shape{x.dim(0), x.dim(1), x.dim(2) * x.dim(3)});
  };
  const nn::State<3> start(Var(), flat(c.var_if("input.re0")), flat(c.var_if("input.im0")));
  const auto [ys, last] = layer(c.var("input.x"), start, c.integers_if("input.lengths"));
  const std::int64_t channels = c.integer("hidden_size", 1);
  const auto split = [&](const Var& x) {
    const Shape units{x.dim(0), x.dim(1), x.dim(2) / channels, channels};
    return transpose(reshape(x, units));
  };
  return {{"y", ys}, {"ren", split(last[1])}, {"imn", split(last[2])}};
}

inline Outputs clockwork(Case& c) {
  nn::ClockworkOptions own;
  own.periods = c.integers_of("periods");
  return run_parts<nn::Clockwork>(c, own, {"h", nullptr});
}

// Compares the memory's fixed matrices with those of the file, too.
inline Outputs lmu(Case& c) {
  const auto kind = choice<nn::Discretisation>(
      c, "discretisation", "zoh",
      {{"zoh", nn::Discretisation::zero_order_hold}, {"euler", nn::Discretisation::euler}});
  nn::LmuOptions own{
      .order = c.integer("order", 0), .theta = c.number("theta", 0), .discretisation = kind};
  Random random(1);
  nn::RecurrentOptions sizes = sizes_of(c);
  sizes.dtype = DType::float64;
  const nn::LmuCell cell(sizes, random, own);
  const auto same = [&](const Tensor& a, const std::string& name) {
    c.tensor(name);
    const std::vector<double> x = a.to_vector<double>(), y = c.stored(name).to_vector<double>();
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (!(std::abs(x[i] - y[i]) < 1e-12)) throw Error("lmu: " + name + " differs");
    }
  };
  same(cell.a.values(), "input.A");
  same(cell.b.values(), "input.B");
  return run_parts<nn::Lmu>(c, own, {"h", "m"});
}

// The state as c e^m and n e^m: m may be chosen.
inline Outputs slstm(Case& c) {
  const auto forget = choice<nn::ForgetGate>(
      c, "forget", "sigmoid",
      {{"sigmoid", nn::ForgetGate::sigmoid}, {"exp", nn::ForgetGate::exponential}});
  c.flag("large");  // whether the case has large numbers
  Outputs result =
      run_parts<nn::Slstm>(c, {.heads = static_cast<int>(c.integer("heads", 1)), .forget = forget},
                           {"h", "c", "n", "m"});
  result["c_true"] = result["cn"] * exp(result["mn"]);
  result["n_true"] = result["nn"] * exp(result["mn"]);
  return result;
}

// The file has C [.., heads, value, key] and n [.., heads, key].
inline Outputs mlstm(Case& c) {
  const auto forget = choice<nn::ForgetGate>(
      c, "forget", "sigmoid",
      {{"sigmoid", nn::ForgetGate::sigmoid}, {"exp", nn::ForgetGate::exponential}});
  c.flag("large");
  const nn::MlstmOptions own{.heads = static_cast<int>(c.integer("heads", 1)),
                             .forget = forget,
                             .epsilon = c.number("eps", 0),
                             .chunk = 3};
  const auto sizes = sizes_of(c);
  const auto& layer =
      c.module<nn::Mlstm>("", [&](Random& random) { return nn::Mlstm(sizes, random, own); });
  const auto flat = [](const Var& x) {
    return x.defined() ? reshape(x, {x.dim(0), x.dim(1), -1}) : Var();
  };
  nn::State<4> start;
  start[1] = flat(c.var_if("input.c0"));
  start[2] = flat(c.var_if("input.n0"));
  start[3] = flat(c.var_if("input.m0"));
  const auto [ys, last] = layer(c.var("input.x"), start, c.integers_if("input.lengths"));
  const std::int64_t n = ys.dim(1), layers = last[3].dim(0), heads = own.heads;
  const std::int64_t d = sizes.hidden / heads;
  const Var cn = reshape(last[1], {layers, n, heads, d, d});
  const Var normaliser = reshape(last[2], {layers, n, heads, d}), m = exp(last[3]);
  return {{"y", ys},
          {"hn", last[0]},
          {"cn", cn},
          {"nn", normaliser},
          {"mn", last[3]},
          {"c_true", cn * reshape(m, {layers, n, heads, 1, 1})},
          {"n_true", normaliser * reshape(m, {layers, n, heads, 1})}};
}

// A stack of blocks with the weights of the authors' package, under its names.
inline Outputs xlstm(Case& c) {
  const nn::XlstmOptions options{.features = c.integer("embedding_dim", 0),
                                 .blocks = static_cast<int>(c.integer("num_blocks", 1)),
                                 .slstm_at = {static_cast<int>(c.integers_of("slstm_at")[0])},
                                 .heads = static_cast<int>(c.integer("heads", 1)),
                                 .taps = c.integer("taps", 4),
                                 .qkv_block = c.integer("qkv_block", 4),
                                 .mlstm_factor = c.number("mlstm_factor", 2),
                                 .mlp_factor = c.number("mlp_factor", 1.3),
                                 .round_to = c.integer("round_to", 64),
                                 .chunk = 4,
                                 .dtype = c.dtype()};
  Random random(1);
  const nn::Xlstm model(options, random);
  StateDict saved;
  for (const std::string& name : c.names("param.")) {
    saved.push_back({name, c.tensor("param." + name).cpu()});
  }
  nn::load_state_dict(model, nn::from_xlstm_package(saved, options), "the package");
  nn::move(model, c.device());
  return {{"y", model(c.var("input.x")).ys}};
}

// The file has the times apart from the features.
inline Outputs phased_lstm(Case& c) {
  nn::RecurrentOptions sizes = sizes_of(c);
  ++sizes.input;
  const auto& layer = c.module<nn::PhasedLstm>("", [&](Random& random) {
    return nn::PhasedLstm(sizes, random,
                          {.peephole = c.flag("peephole", true), .leak = c.number("alpha", 0)});
  });
  const Var xs = concat({c.var("input.x"), insert_axis(c.var("input.time"), 2)}, 2);
  const auto [ys, last] = layer(xs, start_of<nn::State<2>>(c, kLstmParts));
  return {{"y", ys}, {"hn", last[0]}, {"cn", last[1]}};
}

inline Outputs lstm_stack(Case& c) {
  nn::RecurrentOptions options = sizes_of(c);
  options.connection = choice<nn::Connection>(
      c, "connection", "plain",
      {{"residual", nn::Connection::residual}, {"highway", nn::Connection::highway}});
  const auto& layers =
      c.module<nn::Lstm>("", [&](Random& random) { return nn::Lstm(options, random); });
  return {{"y", layers(c.var("input.x")).ys}};
}

// --- noise, with the masks of the file ---

// One layer in one direction with these masks.
template <class R>
Outputs run_noisy(Case& c, const nn::NoiseMasks& masks, std::span<const char* const> parts) {
  if (c.flag("bidirectional")) throw Unknown("noise in two directions");
  const R& layers = c.module<R>("", [&](Random& random) { return R(sizes_of(c), random); });
  typename R::State start = start_of<typename R::State>(c, parts);
  for (std::size_t k = 0; k < R::State::parts; ++k) {
    if (start[k].defined()) start[k] = select_index(start[k], 0, 0);
  }
  const auto [ys, last] = nn::unroll(layers.cells()[0], c.var("input.x"), start, {.noise = masks});
  Outputs result{{"y", ys}};
  for (std::size_t k = 0; k < R::State::parts; ++k) {
    result[std::string(parts[k]) + "n"] = insert_axis(last[k], 0);
  }
  return result;
}

template <class R>
Outputs zoneout(Case& c, std::span<const char* const> parts) {
  nn::NoiseMasks masks;
  for (const char* part : parts) {
    if (c.flag("train")) {
      const Var kept = c.var("input.mask_" + std::string(part));
      masks.updates.push_back((1.0 - kept).value());
    } else {
      masks.mean_updates.push_back(1 - c.number("zoneout_" + std::string(part), 0));
    }
  }
  return run_noisy<R>(c, masks, parts);
}
inline Outputs lstm_zoneout(Case& c) { return zoneout<nn::Lstm>(c, kLstmParts); }
inline Outputs gru_zoneout(Case& c) { return zoneout<nn::Gru>(c, kH); }

inline Outputs lstm_dropout(Case& c) {
  const std::string mode = c.text("mode", "tied");
  const auto scaled = [&](const std::string& name) {
    return (c.var(name) / (1 - c.number("p", 0))).value();
  };
  nn::NoiseMasks masks;
  if (mode == "tied" || mode == "untied") {  // untied: [gates, N, size]
    masks.inputs = scaled("input.mask_x");
    masks.states = scaled("input.mask_h");
  } else if (mode == "weight_drop") {
    masks.weights.push_back(scaled("input.mask_w"));
  } else if (mode == "memoryless") {
    masks.candidates = scaled(c.first_of({"input.mask_g", "input.mask_t", "input.mask"}));
  } else {
    throw Unknown("mode " + mode);
  }
  return run_noisy<nn::Lstm>(c, masks, kLstmParts);
}

}  // namespace reference
