// SPDX-License-Identifier: MIT
// Named parameters: models pass them to optimizers.
#pragma once

#include <string>
#include <vector>

#include "tapeloop/autograd/tape/var.h"
#include "tapeloop/autograd/tensor/state_dict.h"

namespace tapeloop {

// A parameter and its name.
struct NamedVar {
  std::string name;  // "encoder.weight_ih_l0"
  Var var;           // the parameter
};
using ParameterList = std::vector<NamedVar>;  // as nn::parameters() makes it

}  // namespace tapeloop
