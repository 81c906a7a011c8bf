// SPDX-License-Identifier: MIT
// Finds the name of the parameter that is not finite.
#include "tapeloop/nn/look/inspect.h"

namespace tapeloop::nn {

void detail::name_parameter(NonFinitePlace& found, const ParameterList& parameters) {
  for (const NamedVar& p : parameters) {
    if (p.var.is(found.given)) found.parameter = p.name;
  }
}

}  // namespace tapeloop::nn
