// SPDX-License-Identifier: MIT
#include "tapeloop/nn/look/neurons.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace tapeloop::nn {

namespace {

// The standard deviation of the finite values; 0 if there are none. Divided by the largest one, no
// value is too large to be squared.
double spread(std::span<const double> values) {
  double largest = 0, sum = 0, squares = 0, count = 0;
  for (const double x : values) {
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  }
  if (largest == 0) return 0;
  for (const double x : values) {
    if (!std::isfinite(x)) continue;
    sum += x / largest;
    ++count;
  }
  for (const double x : values) {
    if (!std::isfinite(x)) continue;
    const double difference = x / largest - sum / count;
    squares += difference * difference;
  }
  return largest * std::sqrt(squares / count);
}

}  // namespace

ShownNeurons most_varying(const Tensor& states, std::int64_t count) {
  const std::vector<double> all = states.to(Device::cpu).to(DType::float64).to_vector<double>();
  const auto units = static_cast<std::size_t>(states.dim(1));
  ShownNeurons shown;
  for (std::size_t unit = 0; unit < units; ++unit) shown.list.push_back({unit, {}});
  for (std::size_t i = 0; i < all.size(); ++i) shown.list[i % units].values.push_back(all[i]);
  std::vector<double> spreads;
  for (const ShownNeurons::One& one : shown.list) spreads.push_back(spread(one.values));
  std::stable_sort(shown.list.begin(), shown.list.end(), [&](const auto& a, const auto& b) {
    return spreads[a.neuron] > spreads[b.neuron];
  });
  shown.list.resize(std::min(units, static_cast<std::size_t>(count)));
  for (const ShownNeurons::One& one : shown.list) {
    for (const double x : one.values) {
      if (std::isfinite(x)) shown.scale = std::max(shown.scale, std::abs(x));
    }
  }
  return shown;
}

}  // namespace tapeloop::nn
