// SPDX-License-Identifier: MIT
// Tensors with names: what travels to files.
#pragma once

#include <string>
#include <vector>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};
using StateDict = std::vector<NamedTensor>;

}  // namespace tapeloop
