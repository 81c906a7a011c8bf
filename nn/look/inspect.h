// SPDX-License-Identifier: MIT
// Finds the first NaN or infinity of a model's training step, with the names of the parameters and
// the random numbers of the step that failed. For the search see autograd/look/inspect.h.
#pragma once

#include <utility>
#include <vector>

#include "tapeloop/autograd/look/inspect.h"
#include "tapeloop/nn/layers/module.h"

namespace tapeloop::nn {

namespace detail {
void name_parameter(NonFinitePlace& found, const ParameterList& parameters);
}  // namespace detail

// Keeps the random states of a module, such as those of its dropouts, so that a step can be
// repeated exactly. Holds pointers into the module.
class NotedRandoms {
 public:
  NotedRandoms() = default;
  template <Module M>
  explicit NotedRandoms(const M& module) {
    for (const auto& [name, random] : randoms(module)) states_.emplace_back(random, *random);
  }
  void note() {  // keeps the current states; allocates nothing
    for (auto& [random, before] : states_) before = *random;
  }
  void put_back() const {  // sets the states that note() kept
    for (const auto& [random, before] : states_) *random = before;
  }

 private:
  std::vector<std::pair<Random*, Random>> states_;
};

// tapeloop::find_non_finite(loss), with the parameter's name if the value came from a parameter.
template <Module M>
NonFinitePlace find_non_finite(const M& module, const std::function<Var()>& loss) {
  NonFinitePlace found = tapeloop::find_non_finite(loss);
  if (found.given.defined()) detail::name_parameter(found, parameters(module));
  return found;
}

}  // namespace tapeloop::nn
