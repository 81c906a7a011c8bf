// SPDX-License-Identifier: MIT
// Shared by the tests: seeded random tensors, arrays for naive reference loops, checks of closeness
// and of error texts. Reference values use none of the library's arithmetic.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/autograd.h"
#include "tapeloop/autograd/device/cpu/threads.h"
#include "tests/messages.h"

namespace tapeloop::test {

// The seed of all random inputs; printed with every failure.
inline constexpr std::uint64_t kSeed = 20260411;

// --- random inputs ---

std::vector<double> random_values(std::int64_t count, double low, double high,
                                  std::uint64_t seed = kSeed);

Tensor random_tensor(const Shape& shape, std::uint64_t seed = kSeed, DType dtype = DType::float64,
                     double low = -1, double high = 1);

Tensor index_tensor(const Shape& shape, std::int64_t bound, std::uint64_t seed = kSeed);

// --- arrays for naive loops ---

using Index = std::vector<std::int64_t>;

struct Array {
  Shape shape;
  std::vector<double> values;  // row-major

  // The element at `index`, which may be of a broadcast shape: ignores leading axes, and stays at 0
  // in axes of size 1.
  double at(const Index& index) const;
};

Array make_array(const Shape& shape, const std::function<double(const Index&)>& element);

Array array_of(const Tensor& tensor);

// --- checks ---

// The largest |a - b| / (1 + |b|); NaN and infinities must be at the same places.
double distance(std::span<const double> a, std::span<const double> b);
double distance(const Tensor& a, const Tensor& b);

bool same_bits(const Tensor& a, const Tensor& b);

// Sets several threads while it exists.
struct Threads {
  explicit Threads(int count) { set_num_threads(count); }
  ~Threads() { set_num_threads(1); }
};

}  // namespace tapeloop::test
