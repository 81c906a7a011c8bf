// SPDX-License-Identifier: MIT
// What the cases of tests/reference mean: for each kind, how this library computes its outputs.
// A kind is found by the case's settings, and by its name where the settings do not tell. Operations: reference_ops.h.
#pragma once

#include <functional>
#include <limits>
#include <memory>

#include "tapeloop/nn/nn.h"
#include "tapeloop/optim/adagrad.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"
#include "tapeloop/optim/nag.h"
#include "tapeloop/optim/rmsprop.h"
#include "tapeloop/optim/sgd.h"
#include "tests/nn/reference_case.h"

namespace reference {

// By name, as in the file after "output.". Without "loss": that is the sum of all outputs times their weights
// "input.w_NAME".
using Outputs = std::map<std::string, Var>;

// The parameters of a module from "param.PREFIX...", under the same names.
template <nn::Module M>
void load_module(Case& c, const std::string& prefix, const M& module) {
  StateDict saved;
  for (const std::string& name : c.names("param." + prefix))
    saved.push_back({name, c.stored("param." + prefix + name)});
  nn::load_state_dict(module, saved, c.name());
  nn::move(module, c.device());
  for (const NamedVar& p : nn::parameters(module)) c.put("param." + prefix + p.name, p.var);
}

// --- recurrent layers ---

template <class R>
Outputs run_recurrent(Case& c, const nn::RecurrentOptions& options) {
  Random random(1);
  R layer(options, random);
  load_module(c, "", layer);
  Var x = c.var("input.x");
  const bool batch_first = c.flag("batch_first");
  typename R::State start;
  const char* const parts[] = {"h", "c"};
  for (std::size_t k = 0; k < R::State::parts; ++k) {
    std::string name = std::string("input.") + parts[k] + "0";
    if (c.has(name)) start[k] = c.var(name);
  }
  std::vector<std::int64_t> lengths;
  if (c.has("input.lengths")) lengths = c.integers("input.lengths");
  auto [ys, last] = layer(batch_first ? transpose(x, 0, 1) : x, start, lengths);
  Outputs result;
  result["y"] = batch_first ? transpose(ys, 0, 1) : ys;
  for (std::size_t k = 0; k < R::State::parts; ++k) result[std::string(parts[k]) + "n"] = last[k];
  return result;
}

inline Outputs recurrent(Case& c) {
  nn::RecurrentOptions options{.input = c.integer("input_size", 0),
                               .hidden = c.integer("hidden_size", 0),
                               .layers = static_cast<int>(c.integer("num_layers", 1)),
                               .bidirectional = c.flag("bidirectional"),
                               .bias = c.number("bias", 1) != 0,
                               .projection = c.integer("proj_size", 0),
                               .dtype = c.dtype()};
  const std::string kind = c.text("kind", "");
  if (kind == "lstm") return run_recurrent<nn::Lstm>(c, options);
  if (kind == "gru") return run_recurrent<nn::Gru>(c, options);
  if (kind == "rnn_relu") options.nonlinearity = nn::Nonlinearity::relu;
  if (kind == "rnn_relu" || kind == "rnn_tanh" || kind == "rnn")
    return run_recurrent<nn::Rnn>(c, options);
  throw Unknown("kind " + kind);
}

// --- a stack of recurrent layers whose sizes are in the shapes of its weights "param.PREFIXweight_ih_l0", ... ---

inline Var run_stack(Case& c, const std::string& prefix, const Var& x) {
  const Shape ih = c.stored("param." + prefix + "weight_ih_l0").shape();
  const Shape hh = c.stored("param." + prefix + "weight_hh_l0").shape();
  nn::RecurrentOptions options{.input = ih[1], .hidden = hh[1], .layers = 0, .dtype = c.dtype()};
  while (c.has("param." + prefix + "weight_ih_l" + std::to_string(options.layers)))
    ++options.layers;
  options.bias = c.has("param." + prefix + "bias_ih_l0");
  options.bidirectional = c.has("param." + prefix + "weight_ih_l0_reverse");
  auto run = [&]<class R>(std::type_identity<R>) {
    Random random(1);
    R layers(options, random);
    load_module(c, prefix, layers);
    return layers(x).ys;
  };
  switch (hh[0] / hh[1]) {
    case 4: return run(std::type_identity<nn::Lstm>{});
    case 3: return run(std::type_identity<nn::Gru>{});
    case 1: return run(std::type_identity<nn::Rnn>{});
    default: throw Unknown("recurrent weights " + hh.str());
  }
}

inline Outputs char_model(Case& c) {
  Tensor tokens = c.tensor("input.tokens");
  std::int64_t steps = tokens.dim(0) - 1;
  Var ys = run_stack(c, "rnn.", embedding(c.var("param.emb.weight"), tokens.slice(0, 0, steps)));
  Var logits = linear(ys, c.var("param.out.weight"), c.var("param.out.bias"));
  return {{"logits", logits}, {"loss", cross_entropy(logits, tokens.slice(0, 1, steps + 1))}};
}

// --- layers and losses ---

inline Reduce reduction(const Case& c) {
  const std::string given = c.text("reduction", "mean");
  if (given == "mean") return Reduce::mean;
  if (given == "sum") return Reduce::sum;
  if (given == "none") return Reduce::none;
  throw Unknown("reduction " + given);
}

// A loss under the name that the file has for it: "loss", or where nothing is reduced the only other output.
inline Outputs loss_outputs(const Case& c, const Var& items, Outputs others = {}) {
  if (items.rank() == 0) {
    others["loss"] = items;
    return others;
  }
  for (const std::string& name : c.names("output.")) {
    if (name != "loss" && !others.contains(name)) {
      others[name] = items;
      return others;
    }
  }
  throw Unknown("no output for the items of the loss");
}

inline Outputs cross_entropy_loss(Case& c) {
  Var logits = c.var("input.logits");
  CrossEntropyOptions options;
  for (const char* name : {"input.class_weight", "input.class_weights", "input.weight"}) {
    if (c.has(name)) options.class_weights = c.var(name);
  }
  options.ignore_index = c.integer("ignore_index", -100);
  options.label_smoothing = c.number("label_smoothing", 0);
  options.reduce = reduction(c);
  Outputs result;
  if (c.has("output.log_softmax")) result["log_softmax"] = log_softmax(logits);
  return loss_outputs(c, cross_entropy(logits, c.tensor("input.target"), options), result);
}

inline Outputs binary_cross_entropy(Case& c) {
  return loss_outputs(c,
                      bce_with_logits(c.var("input.logits"), c.var("input.target"), reduction(c)));
}

inline Outputs kl(Case& c) {
  for (const char* name :
       {"input.log_probs", "input.log_p", "input.log_probabilities", "input.input", "input.x"}) {
    if (!c.has(name)) continue;
    Var x = c.var(name);
    if (c.text("reduction", "") == "batchmean") {
      return {{"loss", kl_divergence(x, c.var("input.target"), Reduce::sum) /
                           static_cast<double>(x.dim(0))}};
    }
    return loss_outputs(c, kl_divergence(x, c.var("input.target"), reduction(c)));
  }
  throw Unknown("kl without an input of log-probabilities");
}

// mse, l1 and huber: one of them by the case's name, or the sum of all three with weights 1, 2, 3.
inline Outputs regression(Case& c) {
  Var x = c.var("input.x");
  Var target = c.var("input.target");
  const double beta = c.number("delta", c.number("beta", 1.0));
  auto huber_like = [&](Reduce reduce) {  // PyTorch's smooth_l1 is huber / beta
    Var loss = huber(x, target, beta, reduce);
    return c.set("delta") ? loss : loss / beta;
  };
  if (c.has("output.mse") && c.has("output.l1") && c.has("output.huber")) {
    Outputs all{
        {"mse", mse(x, target)}, {"l1", l1_loss(x, target)}, {"huber", huber_like(Reduce::mean)}};
    all["loss"] = all["mse"] + 2.0 * all["l1"] + 3.0 * all["huber"];
    return all;
  }
  Reduce reduce = reduction(c);
  if (c.begins("mse")) return loss_outputs(c, mse(x, target, reduce));
  if (c.begins("l1")) return loss_outputs(c, l1_loss(x, target, reduce));
  return loss_outputs(c, huber_like(reduce));
}

inline Outputs embedding_layer(Case& c) {
  Var weight = c.var("param.weight");
  nn::Embedding layer;
  layer.weight = weight;
  if (c.text("padding_idx", "null") != "null") {
    std::int64_t row = c.integer("padding_idx", 0);
    layer.padding_index = row < 0 ? row + weight.dim(0) : row;
  }
  return {{"y", layer(c.tensor("input.indices"))}};
}

inline Outputs layer_normalisation(Case& c) {
  if (c.set("normalized_shape.1")) throw Unknown("layer_norm over several axes");
  Var x = c.var("input.x");
  auto or_full = [&](const char* name, double value) {
    return c.has(name) ? c.var(name) : Var(c.full({x.dim(-1)}, value));
  };
  return {{"y", layer_norm(x, or_full("param.weight", 1), or_full("param.bias", 0),
                           c.number("eps", 1e-5))}};
}

// --- gradient clipping: input.* are gradients ---

inline Outputs clipping(Case& c) {
  ParameterList parameters;
  for (const std::string& name : c.names("input.")) {
    Tensor gradient = c.tensor("input." + name);
    Var p = parameter(c.full(gradient.shape(), 0));
    p.set_grad(Var(gradient));
    parameters.push_back({name, p});
  }
  Outputs result;
  double limit = c.number("limit", c.number("max_norm", c.number("clip_value", 1)));
  if (c.has("output.total_norm")) {
    const double infinity = std::numeric_limits<double>::infinity();
    double p = c.named("inf") ? infinity : c.named("_l1") ? 1 : c.named("_l3") ? 3 : 2;
    p = c.number("norm_type", c.number("p", p));
    result["total_norm"] =
        Var(Tensor::full({}, optim::clip_grad_norm(parameters, limit, p), DType::float64));
  } else {
    optim::clip_grad_value(parameters, limit);
  }
  for (const NamedVar& p : parameters) result[p.name] = p.var.grad();
  return result;
}

// --- optimizers: 20 steps on a quadratic or on the loss of an LSTM ---

inline std::unique_ptr<optim::Optimizer> make_optimizer(const Case& c,
                                                        const ParameterList& parameters) {
  const std::string kind = c.text("optimizer", "");
  const double rate = c.number("lr", 0);
  const double momentum = c.number("momentum", 0);
  const double decay = c.number("weight_decay", 0);
  const bool maximize = c.flag("maximize");
  const double epsilon = c.number("eps", kind == "Adagrad" ? 1e-10 : 1e-8);
  if (kind == "NAG" || (kind == "SGD" && c.flag("nesterov"))) {
    return std::make_unique<optim::Nag>(parameters, optim::NagOptions{.learning_rate = rate,
                                                                      .momentum = momentum,
                                                                      .weight_decay = decay,
                                                                      .maximize = maximize});
  }
  if (kind == "SGD") {
    return std::make_unique<optim::Sgd>(parameters,
                                        optim::SgdOptions{.learning_rate = rate,
                                                          .momentum = momentum,
                                                          .dampening = c.number("dampening", 0),
                                                          .weight_decay = decay,
                                                          .maximize = maximize});
  }
  if (kind == "RMSprop") {
    return std::make_unique<optim::RmsProp>(parameters,
                                            optim::RmsPropOptions{.learning_rate = rate,
                                                                  .alpha = c.number("alpha", 0.99),
                                                                  .epsilon = epsilon,
                                                                  .momentum = momentum,
                                                                  .centered = c.flag("centered"),
                                                                  .weight_decay = decay,
                                                                  .maximize = maximize});
  }
  if (kind == "Adam") {
    return std::make_unique<optim::Adam>(parameters,
                                         optim::AdamOptions{.learning_rate = rate,
                                                            .beta1 = c.number("betas.0", 0.9),
                                                            .beta2 = c.number("betas.1", 0.999),
                                                            .epsilon = epsilon,
                                                            .weight_decay = decay,
                                                            .amsgrad = c.flag("amsgrad"),
                                                            .maximize = maximize});
  }
  if (kind == "AdamW") {
    return std::make_unique<optim::AdamW>(
        parameters, optim::AdamWOptions{.learning_rate = rate,
                                        .beta1 = c.number("betas.0", 0.9),
                                        .beta2 = c.number("betas.1", 0.999),
                                        .epsilon = epsilon,
                                        .weight_decay = c.number("weight_decay", 1e-2),
                                        .amsgrad = c.flag("amsgrad"),
                                        .maximize = maximize});
  }
  if (kind == "Adagrad") {
    return std::make_unique<optim::Adagrad>(
        parameters,
        optim::AdagradOptions{.learning_rate = rate,
                              .learning_rate_decay = c.number("lr_decay", 0),
                              .initial_accumulator = c.number("initial_accumulator_value", 0),
                              .epsilon = epsilon,
                              .weight_decay = decay,
                              .maximize = maximize});
  }
  throw Unknown("optimizer " + kind);
}

// Loss and parameters of an optimizer case; every call computes it from the parameters' present values.
struct Problem {
  ParameterList parameters;
  std::function<Var()> loss;
};

inline Problem make_problem(Case& c) {
  if (c.has("input.A")) {
    Var x = parameter(c.tensor("param.x"));
    Var a = c.var("input.A");
    Var b = c.var("input.b");
    return {{{"x", x}}, [=] { return 0.5 * matmul(x, matmul(a, x)) - matmul(b, x); }};
  }
  if (!c.has("param.lstm.weight_ih_l0"))
    throw Unknown("a loss to optimize that is neither the quadratic nor the LSTM's");
  const Shape ih = c.stored("param.lstm.weight_ih_l0").shape();
  Random random(1);
  nn::Lstm lstm({.input = ih[1], .hidden = ih[0] / 4, .dtype = c.dtype()}, random);
  nn::Linear fc(ih[0] / 4, c.stored("param.fc.weight").dim(0), random, true, c.dtype());
  load_module(c, "lstm.", lstm);
  load_module(c, "fc.", fc);
  ParameterList all;
  for (const NamedVar& p : nn::parameters(lstm)) all.push_back({"lstm." + p.name, p.var});
  for (const NamedVar& p : nn::parameters(fc)) all.push_back({"fc." + p.name, p.var});
  Var x = c.var("input.x");
  Var target = c.var("input.target");
  return {all, [=] { return mse(fc(lstm(x).ys), target); }};
}

inline Outputs optimizing(Case& c) {
  Problem problem = make_problem(c);
  std::unique_ptr<optim::Optimizer> optimizer = make_optimizer(c, problem.parameters);
  std::map<std::string, std::vector<Var>> rows;
  auto note = [&rows](const std::string& name, const Var& value) {
    rows[name].push_back(Var(value.value().clone()));
  };
  const std::int64_t steps = c.integer("steps", 20);
  for (const NamedVar& p : problem.parameters) note("traj." + p.name, p.var);
  for (std::int64_t step = 0; step < steps; ++step) {
    Tape tape;
    Var loss = problem.loss();
    note("losses", loss);
    optimizer->zero_grad();
    tape.backward(loss);
    for (const NamedVar& p : problem.parameters) note("grad." + p.name, p.var.grad());
    optimizer->step();
    for (const NamedVar& p : problem.parameters) note("traj." + p.name, p.var);
  }
  Outputs result;
  for (const auto& [name, values] : rows) result[name] = stack(values);
  return result;
}

}  // namespace reference
