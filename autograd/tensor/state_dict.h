// SPDX-License-Identifier: MIT
// Named tensors, for reading and writing files.
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
