// SPDX-License-Identifier: MIT
// Finding the first NaN or infinity of a model's training step, by the names of its parameters, with the random numbers of the
// step that failed. The search itself: autograd/look/inspect.h.
#pragma once

#include <utility>
#include <vector>

#include "tapeloop/autograd/look/inspect.h"
#include "tapeloop/nn/layers/module.h"

namespace tapeloop::nn {

namespace detail {
void name_parameter(NonFinitePlace& found, const ParameterList& parameters);
}  // namespace detail

// The random states of a module, such as its dropouts', before a step: put back, the step can be run again as it was.
// Holds pointers into the module.
class NotedRandoms {
 public:
  NotedRandoms() = default;
  template <Module M>
  explicit NotedRandoms(const M& module) {
    for (const auto& [name, random] : randoms(module)) states_.emplace_back(random, *random);
  }
  void note() {  // as they are now; allocates nothing
    for (auto& [random, before] : states_) before = *random;
  }
  void put_back() const {
    for (const auto& [random, before] : states_) *random = before;
  }

 private:
  std::vector<std::pair<Random*, Random>> states_;
};

// tapeloop::find_non_finite(loss), and the name of the parameter where it was one.
template <Module M>
NonFinitePlace find_non_finite(const M& module, const std::function<Var()>& loss) {
  NonFinitePlace found = tapeloop::find_non_finite(loss);
  if (found.given.defined()) detail::name_parameter(found, parameters(module));
  return found;
}

}  // namespace tapeloop::nn
