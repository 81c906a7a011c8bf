// SPDX-License-Identifier: MIT
// Named tensors, for reading and writing files.
#pragma once

#include <string>
#include <vector>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

// A tensor of a model's or optimizer's state.
struct NamedTensor {
  std::string name;  // "encoder.weight_ih_l0"
  Tensor tensor;     // its value
};
using StateDict = std::vector<NamedTensor>;  // a whole state; no name appears twice

}  // namespace tapeloop
