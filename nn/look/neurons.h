// SPDX-License-Identifier: MIT
// Which neurons a picture shows. Knows no picture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::nn {

// The values of some neurons.
struct ShownNeurons {
  struct One {
    std::size_t neuron;          // its number
    std::vector<double> values;  // at each place
  };
  std::vector<One> list;
  double scale = 0;  // the largest finite magnitude of these values
};

// states [places, H]: the `count` neurons whose values vary most over the places, in this order.
// Values that are not finite do not count.
ShownNeurons most_varying(const Tensor& states, std::int64_t count);

}  // namespace tapeloop::nn
