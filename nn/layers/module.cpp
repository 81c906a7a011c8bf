// SPDX-License-Identifier: MIT
// Removes repeated parameters: a module may visit one under several names.
#include "tapeloop/nn/layers/module.h"

#include <unordered_set>
#include <utility>

namespace tapeloop::nn {

ParameterList detail::without_repeats(ParameterList parameters) {
  std::unordered_set<const tapeloop::detail::VarBody*> seen;
  std::erase_if(parameters,
                [&](const NamedVar& item) { return !seen.insert(item.var.body()).second; });
  return parameters;
}

}  // namespace tapeloop::nn
