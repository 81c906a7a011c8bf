// SPDX-License-Identifier: MIT
// Finds the arguments that the gradient of a formula reads. Runs only for an input that was written
// after the forward pass.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "autograd/memory.h"
#include "autograd/pointwise.h"
#include "autograd/random.h"

namespace tapeloop {

namespace {

constexpr std::size_t kCount = 64;  // numbers of each argument, a multiple of every register

// Numbers of both signs, small and large, and a few whole ones for masks and classes.
double sample(std::uint64_t stream, std::size_t i) {
  const double u = static_cast<double>(uniform_at(stream, i));
  if (i % 4 == 0) return static_cast<double>(static_cast<int>(i / 4 % 4) - 1);
  return i % 4 == 1 ? 0.1 + 2 * u : 6 * u - 3;
}

}  // namespace

bool detail::gradient_reads(const PointwiseKernel& kernel, const FormulaBytes& functor,
                            std::size_t i, std::span<const int> columns,
                            std::span<const bool> wanted) {
  const PointwiseKernel& gradient = *kernel.backward;
  const auto inputs = static_cast<std::size_t>(gradient.inputs);
  const auto outputs = static_cast<std::size_t>(gradient.outputs);
  PoolVector<double> numbers((inputs + outputs) * kCount);
  void* data[kMaxOperands];
  std::int64_t step[kMaxOperands];
  for (std::size_t k = 0; k < inputs + outputs; ++k) {
    data[k] = &numbers[k * kCount];
    step[k] = 1;
  }
  for (std::size_t k = 0; k < inputs * kCount; ++k) {
    numbers[k] = sample(1 + k / kCount, k % kCount);
  }
  const auto run = [&] {
    gradient.cpu[1](functor.bytes, data, step, static_cast<std::int64_t>(kCount));
    return PoolVector<double>(numbers.begin() + static_cast<std::ptrdiff_t>(inputs * kCount),
                              numbers.end());
  };
  const PoolVector<double> before = run();
  const auto differs = [&](const PoolVector<double>& after) {
    std::size_t place = 0;
    for (std::size_t input = 0; input < columns.size(); ++input) {
      const std::size_t count = static_cast<std::size_t>(columns[input]) * kCount;
      const bool same = std::memcmp(&before[place], &after[place], count * sizeof(double)) == 0;
      if (wanted[input] && !same) return true;
      place += count;
    }
    return false;
  };
  const std::size_t first = static_cast<std::size_t>(
      std::accumulate(columns.begin(), columns.begin() + static_cast<std::ptrdiff_t>(i), 0));
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double value : {0.0, -0.0, 1.0, -1.0, 0.3, -2.4, 1e-6, -1e-6, 30.0, -30.0, 1e30, -1e30,
                             kInfinity, -kInfinity, std::numeric_limits<double>::quiet_NaN()}) {
    for (std::size_t column = first; column < first + static_cast<std::size_t>(columns[i]);
         ++column) {
      const auto begin = numbers.begin() + static_cast<std::ptrdiff_t>(column * kCount);
      std::fill(begin, begin + kCount, value);
      if (differs(run())) return true;
      for (std::size_t k = 0; k < kCount; ++k)
        begin[static_cast<std::ptrdiff_t>(k)] = sample(1 + column, k);
    }
  }
  return false;
}

}  // namespace tapeloop
