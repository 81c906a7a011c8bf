// SPDX-License-Identifier: MIT
// Named parameters: models pass them to optimizers.
#pragma once

#include <string>
#include <vector>

#include "tapeloop/autograd/tape/var.h"
#include "tapeloop/autograd/tensor/state_dict.h"

namespace tapeloop {

struct NamedVar {
  std::string name;  // "encoder.weight_ih_l0"
  Var var;
};
using ParameterList = std::vector<NamedVar>;

}  // namespace tapeloop
