// SPDX-License-Identifier: MIT
// Shared by the tests: seeded random tensors, arrays for naive reference loops, checks of closeness
// and of error texts. Reference values use none of the library's arithmetic.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "tapeloop/autograd/autograd.h"
#include "tapeloop/autograd/device/cpu/threads.h"
#include "tests/messages.h"

namespace tapeloop::test {

// The seed of all random inputs; printed with every failure.
inline constexpr std::uint64_t kSeed = 20260411;

// --- random inputs ---

inline std::vector<double> random_values(std::int64_t count, double low, double high,
                                         std::uint64_t seed = kSeed) {
  std::mt19937_64 engine(seed);
  std::uniform_real_distribution<double> draw(low, high);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = draw(engine);
  return values;
}

inline Tensor random_tensor(const Shape& shape, std::uint64_t seed = kSeed,
                            DType dtype = DType::float64, double low = -1, double high = 1) {
  return Tensor::from(shape, random_values(shape.numel(), low, high, seed)).to(dtype);
}

inline Tensor index_tensor(const Shape& shape, std::int64_t bound, std::uint64_t seed = kSeed) {
  std::vector<std::int64_t> values;
  for (double value : random_values(shape.numel(), 0, 1, seed)) {
    values.push_back(static_cast<std::int64_t>(value * static_cast<double>(bound)));
  }
  return Tensor::from(shape, values);
}

// --- arrays for naive loops ---

using Index = std::vector<std::int64_t>;

struct Array {
  Shape shape;
  std::vector<double> values;  // row-major

  // The element at `index`, which may be of a broadcast shape: ignores leading axes, and stays at 0
  // in axes of size 1.
  double at(const Index& index) const {
    std::int64_t flat = 0;
    std::size_t dropped = index.size() - static_cast<std::size_t>(shape.rank());
    for (int axis = 0; axis < shape.rank(); ++axis) {
      std::int64_t i = shape[axis] == 1 ? 0 : index[dropped + static_cast<std::size_t>(axis)];
      flat = flat * shape[axis] + i;
    }
    return values[static_cast<std::size_t>(flat)];
  }
};

template <class F>
Array make_array(const Shape& shape, F element) {
  Array result{shape, {}};
  Index index(static_cast<std::size_t>(shape.rank()), 0);
  for (std::int64_t n = 0; n < shape.numel(); ++n) {
    result.values.push_back(element(static_cast<const Index&>(index)));
    for (std::size_t axis = index.size(); axis-- > 0;) {
      if (++index[axis] < shape[static_cast<int>(axis)]) break;
      index[axis] = 0;
    }
  }
  return result;
}

inline Array array_of(const Tensor& tensor) { return {tensor.shape(), tensor.to_vector<double>()}; }

// --- checks ---

// The largest |a - b| / (1 + |b|); NaN and infinities must be at the same places.
inline double distance(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double error = std::abs(a[i] - b[i]) / (1 + std::abs(b[i]));
    worst = error <= worst ? worst : std::isnan(error) ? INFINITY : error;
  }
  return worst;
}
inline double distance(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return INFINITY;
  return distance(a.to_vector<double>(), b.to_vector<double>());
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const Tensor x = a.contiguous();
  const Tensor y = b.contiguous();
  return std::memcmp(x.raw(), y.raw(), static_cast<std::size_t>(x.numel() * size_of(x.dtype()))) ==
         0;
}

// Sets several threads while it exists.
struct Threads {
  explicit Threads(int count) { set_num_threads(count); }
  ~Threads() { set_num_threads(1); }
};

}  // namespace tapeloop::test
