// SPDX-License-Identifier: MIT
// What the tests of optimizers, clipping and schedules share: parameters of odd sizes with gradients.
#pragma once

#include <limits>
#include <random>

#include "tapeloop/autograd/tape/named.h"
#include "tests/support.h"

namespace tapeloop::optim {

using test::message_of;
using test::same_bits;

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Numbers that float32 holds exactly, so that both types start from the same.
inline Tensor numbers(const Shape& shape, DType dtype, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-2, 2);
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (float& x : values) x = uniform(random);
  return Tensor::from<float>(shape, values).to(dtype);
}

inline const std::vector<Shape> kShapes = {{}, {1}, {7}, {3, 5}, {2, 3, 11}, {129}, {0, 3}};

inline ParameterList parameters_of(const std::vector<Shape>& shapes, DType dtype) {
  ParameterList result;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    result.push_back(
        {"p" + std::to_string(i), parameter(numbers(shapes[i], dtype, static_cast<unsigned>(i)))});
  }
  return result;
}

inline void set_gradients(const ParameterList& parameters, unsigned seed) {
  for (const NamedVar& p : parameters)
    p.var.set_grad(numbers(p.var.shape(), p.var.dtype(), seed++));
}

}  // namespace tapeloop::optim
