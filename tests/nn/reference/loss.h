// SPDX-License-Identifier: MIT
// The loss of a reference case, from its outputs: with weights, without them, or from gradients of
// a first loss (derivatives of second order).
#pragma once

#include <cmath>
#include <optional>

#include "tests/nn/reference/case.h"

namespace reference {

// The sum of outputs times their weights "input.w_NAME"; undefined if no output has weights.
inline Var weighted_sum(Case& c, const Outputs& outputs) {
  Var total;
  for (const auto& [name, value] : outputs) {
    if (!c.has("input.w_" + name)) continue;
    const Var term = sum(value * c.var("input.w_" + name));
    total = total.defined() ? total + term : term;
  }
  return total;
}

// A model's own loss; else the weighted sum; if no output has weights, the sum of all elements of
// the outputs in the file.
inline Var first_loss(Case& c, const Outputs& outputs) {
  if (const auto own = outputs.find("loss"); own != outputs.end()) return own->second;
  if (const Var weighted = weighted_sum(c, outputs); weighted.defined()) return weighted;
  Var total;
  for (const auto& [name, value] : outputs) {
    if (!c.has("output." + name)) continue;
    total = total.defined() ? total + sum(value) : sum(value);
  }
  if (!total.defined()) throw Unknown("a loss without outputs");
  return total;
}

// What "PREFIXNAME" is a derivative by: "grad_x" -> "input.x", "grad.param.weight" ->
// "param.weight". Empty if the name has another prefix, or the file no such tensor.
inline std::string derivative_of(const Case& c, const std::string& output,
                                 const std::string& prefix) {
  for (const char* joint : {"_", "."}) {
    if (!output.starts_with(prefix + joint)) continue;
    const std::string name = output.substr(prefix.size() + 1);
    for (const std::string& tensor : {name, "input." + name, "param." + name}) {
      if (c.has(tensor)) return tensor;
    }
  }
  return "";
}

// Adds the outputs that are derivatives of the first loss: "grad_NAME", and "hvp_NAME", the product
// of the Hessian matrix with the vectors "input.v_NAME". Returns the loss of these derivatives: the
// weighted sum with or without the first outputs, or the sum of squares. The value of "output.loss"
// in the file shows which. Undefined if there are no such outputs.
inline Var second_order(Case& c, Tape& tape, Outputs& outputs) {
  std::map<std::string, std::string> wanted, products;  // output -> tensor
  for (const std::string& name : c.names("output.")) {
    if (outputs.contains(name)) continue;
    if (const std::string by = derivative_of(c, name, "grad"); !by.empty()) wanted[name] = by;
    if (const std::string by = derivative_of(c, name, "hvp"); !by.empty()) products[name] = by;
  }
  if (wanted.empty() && products.empty()) return {};
  const Var first = first_loss(c, outputs);
  const auto gradients = [&](const Var& loss, const std::map<std::string, std::string>& names) {
    std::vector<Var> by;
    for (const auto& [name, tensor] : names) by.push_back(c.var(tensor));
    const std::vector<Var> values = tape.gradient(loss, by, {.create_graph = true});
    Outputs result;
    for (const auto& [name, tensor] : names) result[name] = values[result.size()];
    return result;
  };
  Outputs derivatives = gradients(first, wanted);
  std::map<std::string, std::string> directions;
  for (const std::string& name : c.names("input.v_")) {
    const std::string by = derivative_of(c, "v_" + name, "v");
    if (by.empty()) throw Unknown("input.v_" + name);
    directions[name] = by;
  }
  if (!products.empty()) {
    Var along;
    for (const auto& [name, gradient] : gradients(first, directions)) {
      const Var term = sum(gradient * c.var("input.v_" + name));
      along = along.defined() ? along + term : term;
    }
    if (!along.defined()) throw Unknown("a Hessian product without input.v_NAME");
    for (const auto& [name, value] : gradients(along, products)) derivatives[name] = value;
  }
  const Var apart = weighted_sum(c, derivatives);
  Var squares;
  for (const auto& [name, value] : derivatives)
    squares = squares.defined() ? squares + sum(square(value)) : sum(square(value));
  outputs.merge(derivatives);
  const Var together = weighted_sum(c, outputs);
  const Var otherwise = apart.defined() ? together : squares;  // fails if the file has another loss
  if (!c.has("output.loss")) return otherwise;
  const double expected = c.stored("output.loss").to_vector<double>()[0];
  for (const Var& candidate : {together, apart, squares}) {
    if (candidate.defined() && std::abs(candidate.item() - expected) <= 1e-4 * std::abs(expected))
      return candidate;
  }
  return otherwise;
}

// The complete outputs of a case, with "loss" if the file has one, or gradients of one.
inline void add_loss(Case& c, Tape& tape, Outputs& outputs) {
  if (const Var loss = second_order(c, tape, outputs); loss.defined()) {
    outputs["loss"] = loss;
  } else if (!outputs.contains("loss") && (c.has("output.loss") || !c.names("grad.").empty())) {
    outputs["loss"] = first_loss(c, outputs);
  }
}

// If one output of the file and one of ours have no counterpart, they are the same under two names.
inline void match_names(const Case& c, Outputs& outputs) {
  std::vector<std::string> missing, surplus;
  for (const std::string& name : c.names("output.")) {
    const bool derivative =
        !(derivative_of(c, name, "grad") + derivative_of(c, name, "hvp")).empty();
    if (!outputs.contains(name) && name != "loss" && !derivative) missing.push_back(name);
  }
  for (const auto& [name, value] : outputs) {
    if (!c.has("output." + name) && name != "loss") surplus.push_back(name);
  }
  if (missing.size() != 1 || surplus.size() != 1) return;
  outputs[missing[0]] = outputs[surplus[0]];
  outputs.erase(surplus[0]);
}

}  // namespace reference
