// SPDX-License-Identifier: MIT
// Norms add up in float64 and in a fixed order.
#include "tapeloop/autograd/device/cpu/tensor_loops.h"

#include <cmath>
#include <limits>
#include <string>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::cpu {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// The sum of term(x) in several independent sums, which the CPU adds in parallel.
template <class Term>
double sum_of(const Tensor& tensor, Term term) {
  return with_float_type(tensor.dtype(), [&]<class T>(T) {
    constexpr std::int64_t kChains = 8;
    const T* const x = tensor.read<T>();
    const std::int64_t count = tensor.numel();
    double sums[kChains] = {};
    std::int64_t i = 0;
    for (; i + kChains <= count; i += kChains) {
      for (std::int64_t k = 0; k < kChains; ++k) sums[k] += term(static_cast<double>(x[i + k]));
    }
    for (; i < count; ++i) sums[i % kChains] += term(static_cast<double>(x[i]));
    for (std::int64_t k = 1; k < kChains; ++k) sums[0] += sums[k];
    return sums[0];
  });
}

// max |x|; NaN if there is one.
double largest(const Tensor& x, double above) {
  return with_float_type(x.dtype(), [&]<class T>(T) {
    const T* values = x.read<T>();
    double result = above;
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      const double size = std::abs(static_cast<double>(values[i]));
      if (!(size <= result) && !std::isnan(result)) result = size;
    }
    return result;
  });
}

// The norm of all tensors together; `sum` is the sum of their squares.
double norm(std::span<const Tensor> all, double sum) {
  if (sum > 1e-280 && sum < kInf) return std::sqrt(sum);
  // Squares may have overflowed or underflowed.
  double scale = 0;
  for (const Tensor& x : all) scale = largest(x, scale);
  if (scale == 0 || !std::isfinite(scale)) return scale;
  double scaled = 0;
  for (const Tensor& x : all) {
    scaled += sum_of(x, [scale](double value) { return (value / scale) * (value / scale); });
  }
  return scale * std::sqrt(scaled);
}

}  // namespace

void norms(const Tensor& to, std::span<const Tensor> from) {
  to.mark_written();
  auto* const result = static_cast<double*>(to.raw());
  double total = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const double sum = sum_of(from[i], [](double value) { return value * value; });
    result[i] = norm(from.subspan(i, 1), sum);
    total += sum;
  }
  result[from.size()] = norm(from, total);
}

bool targets(const Tensor& known, const Tensor& counted, const Tensor& target,
             std::int64_t ignore_index, std::int64_t classes) {
  const Tensor flat = target.contiguous();
  const auto* const given = flat.read<std::int64_t>();
  auto* const chosen = static_cast<std::int64_t*>(known.raw());
  bool all_count = true;
  with_float_type(counted.dtype(), [&]<class T>(T) {
    auto* const counts = static_cast<T*>(counted.raw());
    for (std::int64_t i = 0; i < target.numel(); ++i) {
      const bool ignored = given[i] == ignore_index;
      if (!ignored && (given[i] < 0 || given[i] >= classes)) {
        fail("cross_entropy", "target " + std::to_string(given[i]) + " at position " +
                                  std::to_string(i) + " of " + target.shape().str() +
                                  " is outside the " + std::to_string(classes) +
                                  " classes; ignore_index is " + std::to_string(ignore_index));
      }
      chosen[i] = ignored ? 0 : given[i];
      counts[i] = ignored ? T{0} : T{1};
      all_count = all_count && !ignored;
    }
  });
  return all_count;
}

}  // namespace tapeloop::cpu
