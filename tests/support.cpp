// SPDX-License-Identifier: MIT
#include "tests/support.h"

#include <random>

namespace tapeloop::test {

std::vector<double> random_values(std::int64_t count, double low, double high, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::uniform_real_distribution<double> draw(low, high);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = draw(engine);
  return values;
}

Tensor random_tensor(const Shape& shape, std::uint64_t seed, DType dtype, double low, double high) {
  return Tensor::from(shape, random_values(shape.numel(), low, high, seed)).to(dtype);
}

Tensor index_tensor(const Shape& shape, std::int64_t bound, std::uint64_t seed) {
  std::vector<std::int64_t> values;
  for (double value : random_values(shape.numel(), 0, 1, seed)) {
    values.push_back(static_cast<std::int64_t>(value * static_cast<double>(bound)));
  }
  return Tensor::from(shape, values);
}

double Array::at(const Index& index) const {
  std::int64_t flat = 0;
  std::size_t dropped = index.size() - static_cast<std::size_t>(shape.rank());
  for (int axis = 0; axis < shape.rank(); ++axis) {
    std::int64_t i = shape[axis] == 1 ? 0 : index[dropped + static_cast<std::size_t>(axis)];
    flat = flat * shape[axis] + i;
  }
  return values[static_cast<std::size_t>(flat)];
}

Array make_array(const Shape& shape, const std::function<double(const Index&)>& element) {
  Array result{shape, {}};
  Index index(static_cast<std::size_t>(shape.rank()), 0);
  for (std::int64_t n = 0; n < shape.numel(); ++n) {
    result.values.push_back(element(index));
    for (std::size_t axis = index.size(); axis-- > 0;) {
      if (++index[axis] < shape[static_cast<int>(axis)]) break;
      index[axis] = 0;
    }
  }
  return result;
}

Array array_of(const Tensor& tensor) { return {tensor.shape(), tensor.to_vector<double>()}; }

double distance(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    const double error = std::abs(a[i] - b[i]) / (1 + std::abs(b[i]));
    worst = error <= worst ? worst : std::isnan(error) ? INFINITY : error;
  }
  return worst;
}

double distance(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return INFINITY;
  return distance(a.to_vector<double>(), b.to_vector<double>());
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const Tensor x = a.contiguous();
  const Tensor y = b.contiguous();
  return std::memcmp(x.raw(), y.raw(), static_cast<std::size_t>(x.numel() * size_of(x.dtype()))) ==
         0;
}

}  // namespace tapeloop::test
