// SPDX-License-Identifier: MIT
// Losses, layers without a state, and gradient clipping in tests/reference.
#pragma once

#include <algorithm>
#include <limits>

#include "tapeloop/optim/clip.h"
#include "tests/nn/reference/recurrent.h"

namespace reference {

// --- losses ---

inline Reduce reduction(const Case& c) {
  const std::string given = c.text("reduction", "mean");
  if (given == "mean") return Reduce::mean;
  if (given == "sum") return Reduce::sum;
  if (given == "none") return Reduce::none;
  throw Unknown("reduction " + given);
}

// The loss under its name in the file: "loss", or without a reduction the only other output.
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

// loss(reduce) as the file wants it: with weights "input.weight" the items are multiplied by them
// before the reduction.
inline Outputs weighted_loss(Case& c, const std::function<Var(Reduce)>& loss) {
  if (!c.has("input.weight")) return loss_outputs(c, loss(reduction(c)));
  const Var items = loss(Reduce::none) * c.var("input.weight");
  switch (reduction(c)) {
    case Reduce::mean: return loss_outputs(c, mean(items));
    case Reduce::sum: return loss_outputs(c, sum(items));
    case Reduce::none: break;
  }
  return loss_outputs(c, items);
}

inline Outputs cross_entropy_loss(Case& c) {
  const Var logits = c.var("input.logits");
  CrossEntropyOptions options;
  const std::string weights =
      c.first_of({"input.class_weight", "input.class_weights", "input.weight"});
  if (!weights.empty()) options.class_weights = c.var(weights);
  options.ignore_index = c.integer("ignore_index", -100);
  options.label_smoothing = c.number("label_smoothing", 0);
  options.reduce = reduction(c);
  Outputs result;
  if (c.has("output.log_softmax")) result["log_softmax"] = log_softmax(logits);
  return loss_outputs(c, cross_entropy(logits, c.tensor("input.target"), options), result);
}

// "input.pos_weight" multiplies the term of the positive class.
inline Outputs binary_cross_entropy(Case& c) {
  const Var logits = c.var("input.logits"), target = c.var("input.target");
  return weighted_loss(c, [&](Reduce reduce) {
    if (!c.has("input.pos_weight")) return bce_with_logits(logits, target, reduce);
    const auto against = [&](double all) {
      return bce_with_logits(logits, Var(c.full(logits.shape(), all)), Reduce::none);
    };
    const Var items = c.var("input.pos_weight") * target * against(1) + (1.0 - target) * against(0);
    return reduce == Reduce::mean ? mean(items) : reduce == Reduce::sum ? sum(items) : items;
  });
}

inline Outputs kl(Case& c) {
  const std::string name = c.first_of(
      {"input.log_probs", "input.log_p", "input.log_probabilities", "input.input", "input.x"});
  if (name.empty()) throw Unknown("kl without an input of log-probabilities");
  const Var x = c.var(name), target = c.var("input.target");
  if (c.text("reduction", "") == "batchmean")
    return {{"loss", kl_divergence(x, target, Reduce::sum) / static_cast<double>(x.dim(0))}};
  return weighted_loss(c, [&](Reduce reduce) { return kl_divergence(x, target, reduce); });
}

// mse, l1 and huber: one of them by the case's name, or the sum of all three with weights 1, 2, 3.
inline Outputs regression(Case& c) {
  const Var x = c.var("input.x"), target = c.var("input.target");
  const double beta = c.number("delta", c.number("beta", 1.0));
  const auto huber_like = [&](Reduce reduce) {  // PyTorch's smooth_l1 is huber / beta
    const Var loss = huber(x, target, beta, reduce);
    return c.set("delta") ? loss : loss / beta;
  };
  if (c.has("output.mse") && c.has("output.l1") && c.has("output.huber")) {
    Outputs all{
        {"mse", mse(x, target)}, {"l1", l1_loss(x, target)}, {"huber", huber_like(Reduce::mean)}};
    all["loss"] = all["mse"] + 2.0 * all["l1"] + 3.0 * all["huber"];
    return all;
  }
  const std::string kind = c.kind();
  return weighted_loss(c, [&](Reduce reduce) {
    if (kind.starts_with("mse")) return mse(x, target, reduce);
    if (kind.starts_with("l1")) return l1_loss(x, target, reduce);
    return huber_like(reduce);
  });
}

inline Outputs ctc(Case& c) {
  const Var log_probabilities = log_softmax(c.var("input.logits"));
  const Tensor target = c.tensor("input.target");
  const std::vector<std::int64_t> steps = c.integers("input.input_lengths");
  const std::vector<std::int64_t> labels = c.integers("input.target_lengths");
  CtcOptions options{.blank = c.integer("blank", 0),
                     .reduce = reduction(c),
                     .zero_infinity = c.flag("zero_infinity")};
  Outputs result = loss_outputs(c, ctc_loss(log_probabilities, target, steps, labels, options));
  if (c.has("output.per_item") && !result.contains("per_item")) {
    options.reduce = Reduce::none;
    result["per_item"] = ctc_loss(log_probabilities, target, steps, labels, options);
  }
  return result;
}

// --- layers ---

inline Outputs embedding_layer(Case& c) {
  const Var weight = c.var("param.weight");
  nn::Embedding layer;
  layer.weight = weight;
  if (c.text("padding_idx", "null") != "null") {
    const std::int64_t row = c.integer("padding_idx", 0);
    layer.padding_index = row < 0 ? row + weight.dim(0) : row;
  }
  return {{"y", layer(c.tensor("input.indices"))}};
}

// Over the last axes, as many as "normalized_shape" has. The library normalises one axis, so they
// are joined.
inline Outputs layer_normalisation(Case& c) {
  const Var x = c.var("input.x");
  const std::size_t axes = c.integers_of("normalized_shape").size();
  std::int64_t features = 1;
  for (std::size_t i = 0; i < std::max<std::size_t>(1, axes); ++i)
    features *= x.dim(-1 - static_cast<int>(i));
  const auto row = [&](const char* name, double otherwise) {
    return c.has(name) ? reshape(c.var(name), {features}) : Var(c.full({features}, otherwise));
  };
  const Var y = layer_norm(reshape(x, {-1, features}), row("param.weight", 1), row("param.bias", 0),
                           c.number("eps", 1e-5));
  return {{"y", reshape(y, x.shape())}};
}

inline nn::BatchNorm batch_norm_of(Case& c, const std::string& prefix, std::int64_t channels) {
  nn::BatchNorm norm(channels, c.number("eps", 1e-5), c.number("momentum", 0.1), c.dtype());
  norm.weight = c.var("param." + prefix + "weight");
  norm.bias = c.var("param." + prefix + "bias");
  if (c.has("input.running_mean")) norm.running_mean = Var(c.tensor("input.running_mean"));
  if (c.has("input.running_var")) norm.running_var = Var(c.tensor("input.running_var"));
  norm.num_batches_tracked = Var(c.full({}, 0));
  norm.frozen = !c.flag("train", true);
  return norm;
}

// The running statistics after the call, of those that the file has.
inline void add_running(const Case& c, const nn::BatchNorm& norm, Outputs& outputs) {
  if (c.has("output.running_mean")) outputs["running_mean"] = norm.running_mean;
  if (c.has("output.running_var")) outputs["running_var"] = norm.running_var;
}

inline Outputs batch_normalisation(Case& c) {
  const Var x = c.var("input.x");
  const nn::BatchNorm norm = batch_norm_of(c, "", x.dim(1));
  Outputs result{{"y", norm(x)}};
  add_running(c, norm, result);
  return result;
}

inline Outputs given_dropout(Case& c) {
  const Var x = c.var("input.x");
  return {{"y", c.flag("train", true) ? masked(c, x, "input.mask") : x}};
}

// --- gradient clipping: input.* are gradients ---

inline Outputs clipping(Case& c) {
  ParameterList parameters;
  for (const std::string& name : c.names("input.")) {
    const Tensor gradient = c.tensor("input." + name);
    const Var p = parameter(c.full(gradient.shape(), 0));
    p.set_grad(Var(gradient));
    parameters.push_back({name, p});
  }
  Outputs result;
  const double limit = c.number("limit", c.number("max_norm", c.number("clip_value", 1)));
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

}  // namespace reference
