// SPDX-License-Identifier: MIT
// Draws initial weights. Random numbers are float64 and are rounded once, so that float32 and
// float64 models start alike.
#include "tapeloop/nn/layers/init.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

Var uniform_parameter(const Shape& shape, double bound, Random& random, DType dtype) {
  // parameter() throws for a type or shape that a parameter cannot have.
  if (dtype == DType::int64) return parameter(Tensor::zeros(shape, dtype));
  return parameter(random_uniform(shape, -bound, bound, random, dtype));
}

namespace init {

namespace {

void check_matrix(const char* name, const Var& parameter) {
  if (parameter.rank() != 2 || parameter.numel() == 0) {
    fail(name, fmt::format("needs a weight [out, in], got {}", parameter.shape().str()));
  }
}
void assign(const Var& parameter, const Tensor& value) { parameter.value().copy_from(value); }

}  // namespace

void uniform(const Var& parameter, double low, double high, Random& random) {
  assign(parameter, random_uniform(parameter.shape(), low, high, random, parameter.dtype()));
}
void normal(const Var& parameter, double mean, double deviation, Random& random) {
  assign(parameter, random_normal(parameter.shape(), mean, deviation, random, parameter.dtype()));
}
void constant(const Var& parameter, double value) { parameter.value().fill(value); }

void xavier_uniform(const Var& parameter, Random& random, double gain) {
  check_matrix("xavier_uniform", parameter);
  double bound = gain * std::sqrt(6.0 / static_cast<double>(parameter.dim(0) + parameter.dim(1)));
  uniform(parameter, -bound, bound, random);
}
void xavier_normal(const Var& parameter, Random& random, double gain) {
  check_matrix("xavier_normal", parameter);
  normal(parameter, 0,
         gain * std::sqrt(2.0 / static_cast<double>(parameter.dim(0) + parameter.dim(1))), random);
}
void he_uniform(const Var& parameter, Random& random) {
  check_matrix("he_uniform", parameter);
  double bound = std::sqrt(6.0 / static_cast<double>(parameter.dim(1)));
  uniform(parameter, -bound, bound, random);
}
void he_normal(const Var& parameter, Random& random) {
  check_matrix("he_normal", parameter);
  normal(parameter, 0, std::sqrt(2.0 / static_cast<double>(parameter.dim(1))), random);
}

void orthogonal(const Var& parameter, Random& random, double gain, int blocks) {
  check_matrix("orthogonal", parameter);
  if (blocks < 1 || parameter.dim(0) % blocks != 0) {
    fail("orthogonal", fmt::format("the weight has {} rows, which cannot be cut into {} equal "
                                   "blocks; give a number of blocks that divides them",
                                   parameter.dim(0), blocks));
  }
  std::int64_t rows = parameter.dim(0) / blocks;
  std::int64_t columns = parameter.dim(1);
  // The number of orthonormal vectors, and the length of each.
  std::size_t count = static_cast<std::size_t>(std::min(rows, columns));
  std::size_t length = static_cast<std::size_t>(std::max(rows, columns));
  for (int block = 0; block < blocks; ++block) {
    Tensor drawn =
        random_normal({static_cast<std::int64_t>(count), static_cast<std::int64_t>(length)}, 0, 1,
                      random, DType::float64);
    double* v = drawn.data<double>();
    for (std::size_t i = 0; i < count; ++i) {
      // Gram-Schmidt, twice: the second pass removes rounding errors of the first.
      for (int pass = 0; pass < 2; ++pass) {
        for (std::size_t j = 0; j < i; ++j) {
          double dot = 0;
          for (std::size_t k = 0; k < length; ++k) dot += v[i * length + k] * v[j * length + k];
          for (std::size_t k = 0; k < length; ++k) v[i * length + k] -= dot * v[j * length + k];
        }
      }
      double norm = 0;
      for (std::size_t k = 0; k < length; ++k) norm += v[i * length + k] * v[i * length + k];
      for (std::size_t k = 0; k < length; ++k) v[i * length + k] /= std::sqrt(norm);
    }
    Tensor target = parameter.value().slice(0, block * rows, (block + 1) * rows);
    target.copy_from(rows <= columns ? drawn : drawn.transpose(0, 1));
  }
  if (gain != 1.0) assign(parameter, (Var(parameter.value()) * gain).value());
}

void forget_gate_bias(const Var& bias, double value) {
  if (bias.rank() != 1 || bias.dim(0) % 4 != 0) {
    fail("forget_gate_bias", fmt::format("needs an LSTM bias [4H], got {}", bias.shape().str()));
  }
  std::int64_t h = bias.dim(0) / 4;
  Tensor part = bias.value().slice(0, h, 2 * h);
  add_in_place(part, Tensor::full({}, value, bias.dtype(), bias.device()));
}

}  // namespace init
}  // namespace tapeloop::nn
