// SPDX-License-Identifier: MIT
// First and second derivatives of any calculation, for comparing two ways to calculate.
#pragma once

#include <functional>
#include <vector>

#include "tapeloop/nn/nn.h"

namespace tapeloop::test {

// First and second derivatives of a loss over all results, by all parameters.
inline std::vector<Tensor> derivatives(const std::vector<Var>& parameters,
                                       const std::function<PoolVector<Var>()>& run) {
  for (const Var& p : parameters) p.zero_grad();
  std::vector<Tensor> all;
  {
    Tape tape;
    Var loss = Var(Tensor::zeros({}, DType::float64));
    for (const Var& y : run()) {
      if (y.defined() && y.dtype() == DType::float64) loss = loss + sum(y * y * y);
    }
    const std::vector<Var> first = tape.gradient(loss, parameters, {.create_graph = true});
    Var total = loss;
    for (const Var& dx : first) {
      all.push_back(dx.value().clone());
      total = total + sum(dx * dx);
    }
    tape.backward(total);
  }
  for (const Var& p : parameters) {
    all.push_back(p.grad().defined() ? p.grad().value() : Tensor::zeros(p.shape(), p.dtype()));
    p.zero_grad();
  }
  // Once more without a recorded backward pass: recompute() runs again in another way then.
  Tape tape;
  Var loss = Var(Tensor::zeros({}, DType::float64));
  for (const Var& y : run()) {
    if (y.defined() && y.dtype() == DType::float64) loss = loss + sum(y * y * y);
  }
  tape.backward(loss);
  for (const Var& p : parameters) {
    all.push_back(p.grad().defined() ? p.grad().value() : Tensor::zeros(p.shape(), p.dtype()));
  }
  return all;
}

std::vector<Var> vars_of(const auto& module) {
  std::vector<Var> result;
  for (const NamedVar& p : parameters(module)) result.push_back(p.var);
  return result;
}

}  // namespace tapeloop::test
