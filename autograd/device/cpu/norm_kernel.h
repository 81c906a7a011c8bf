// SPDX-License-Identifier: MIT
// Layer norm of one row, forwards and backwards. Compiled once for each instruction set. Sums run
// in 64 parts, as many as hide the latency of an addition, in an order that depends only on the
// length of the row.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace tapeloop::cpu {

template <class T>
struct RowMoments {
  T mean, factor;  // factor: 1 / sqrt(variance + epsilon)
};
// Sums over a row, for its gradient: of g and of g x^, with g = dy scale and x^ = (x - mean)
// factor.
template <class T>
struct RowSums {
  T g, gx;
};
// y = add + scale x^ + bias for `count` elements. Null: scale 1, bias 0, add 0.
template <class T>
struct NormalisedRow {
  std::int64_t count;
  const T *x, *scale, *bias, *add;
  T* y;
};
// dx (+)= factor (g - (sum of g + x^ sum of g x^) / width); dscale += dy x^; dbias += dy. Null:
// not wanted.
template <class T>
struct NormalisedRowGradient {
  std::int64_t count;
  const T *x, *scale, *dy;
  T* dx;
  bool adds;
  T *dscale, *dbias;
};

// term(i) summed over [0, count).
template <class T, class Term>
inline T sum_of_row(std::int64_t count, Term term) {
  constexpr std::int64_t kParts = 64;
  T parts[kParts] = {};
  std::int64_t i = 0;
  for (; i + kParts <= count; i += kParts) {
    for (std::int64_t k = 0; k < kParts; ++k) parts[k] += term(i + k);
  }
  for (std::int64_t k = 0; i + k < count; ++k) parts[k] += term(i + k);
  for (std::int64_t half = kParts / 2; half > 0; half /= 2) {
    for (std::int64_t k = 0; k < half; ++k) parts[k] += parts[k + half];
  }
  return parts[0];
}

template <class Isa, class T>
RowMoments<T> row_moments(const T* x, std::int64_t count, double epsilon) {
  const T mean = sum_of_row<T>(count, [x](std::int64_t i) { return x[i]; }) / static_cast<T>(count);
  const T variance = sum_of_row<T>(count,
                                   [x, mean](std::int64_t i) {
                                     const T d = x[i] - mean;
                                     return d * d;
                                   }) /
                     static_cast<T>(count);
  return {mean, T{1} / std::sqrt(variance + static_cast<T>(epsilon))};
}

template <class Isa, class T>
void normalise_row(const NormalisedRow<T>& row, const RowMoments<T>& m) {
  for (std::int64_t i = 0; i < row.count; ++i) {
    T y = (row.x[i] - m.mean) * m.factor;
    if (row.scale != nullptr) y *= row.scale[i];
    if (row.bias != nullptr) y += row.bias[i];
    row.y[i] = row.add != nullptr ? row.add[i] + y : y;
  }
}

template <class Isa, class T>
RowSums<T> row_gradient_sums(const T* x, const T* scale, const T* dy, std::int64_t count,
                             const RowMoments<T>& m) {
  const auto g = [=](std::int64_t i) { return scale == nullptr ? dy[i] : dy[i] * scale[i]; };
  const T mean = m.mean, factor = m.factor;
  return {sum_of_row<T>(count, g),
          sum_of_row<T>(count, [=](std::int64_t i) { return g(i) * ((x[i] - mean) * factor); })};
}

// One loop for each result, which the compiler can write with registers: no two results share
// memory.
template <class Isa, class T>
void row_gradient(const NormalisedRowGradient<T>& row, const RowMoments<T>& m,
                  const RowSums<T>& sums, std::int64_t width) {
  const T* __restrict x = row.x, * __restrict dy = row.dy;
  const T mean = m.mean, factor = m.factor, over = T{1} / static_cast<T>(width);
  const auto put = [&](auto scaled, auto adds) {
    T* __restrict dx = row.dx;
    const T* __restrict scale = row.scale;
    for (std::int64_t i = 0; i < row.count; ++i) {
      const T g = decltype(scaled)::value ? dy[i] * scale[i] : dy[i];
      const T d = factor * (g - (sums.g + (x[i] - mean) * factor * sums.gx) * over);
      dx[i] = decltype(adds)::value ? dx[i] + d : d;
    }
  };
  if (row.dx != nullptr) {
    if (row.scale != nullptr) {
      row.adds ? put(std::true_type{}, std::true_type{}) : put(std::true_type{}, std::false_type{});
    } else {
      row.adds ? put(std::false_type{}, std::true_type{})
               : put(std::false_type{}, std::false_type{});
    }
  }
  if (row.dscale != nullptr) {
    T* __restrict dscale = row.dscale;
    for (std::int64_t i = 0; i < row.count; ++i) dscale[i] += dy[i] * ((x[i] - mean) * factor);
  }
  if (row.dbias != nullptr) {
    T* __restrict dbias = row.dbias;
    for (std::int64_t i = 0; i < row.count; ++i) dbias[i] += dy[i];
  }
}

}  // namespace tapeloop::cpu
