// SPDX-License-Identifier: MIT
// Names for parameters and for saved state: what models hand to optimizers, and what travels to files.
#pragma once

#include <string>
#include <vector>

#include "tapeloop/autograd/tape/var.h"

namespace tapeloop {

struct NamedVar {
  std::string name;  // "encoder.weight_ih_l0"
  Var var;
};
using ParameterList = std::vector<NamedVar>;

struct NamedTensor {
  std::string name;
  Tensor tensor;
};
using StateDict = std::vector<NamedTensor>;

}  // namespace tapeloop
