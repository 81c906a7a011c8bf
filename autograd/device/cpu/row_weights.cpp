// SPDX-License-Identifier: MIT
// Rounding and layout of RowWeights. Runs once per Stepper, so the code is simple rather than fast.
#include "tapeloop/autograd/device/cpu/row_weights.h"

#include <algorithm>

#include "tapeloop/autograd/device/cpu/kernels.h"

namespace tapeloop::cpu {

std::uint16_t round_to_bfloat16(float x) {
  const auto bits = __builtin_bit_cast(std::uint32_t, x);
  if (x != x) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  const std::uint32_t last = (bits >> 16) & 1u;
  return static_cast<std::uint16_t>((bits + 0x7fffu + last) >> 16);
}

// About the part of a core's second-level cache that one matrix can keep while others pass through.
constexpr std::int64_t kOwnCacheBytes = 512 << 10;

static float widened(std::uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
}

RowWeights::RowWeights(std::span<const Tensor> matrices, Weights format) : format_(format) {
  columns_ = matrices[0].dim(0);
  for (const Tensor& m : matrices) k_ += m.dim(1);
  const Tensor joined = Tensor::empty({columns_, k_});
  for (std::int64_t at = 0; const Tensor& m : matrices) {
    joined.slice(1, at, at + m.dim(1)).copy_from(m);
    at += m.dim(1);
  }
  const float* from = joined.read<float>();
  const std::int64_t width = kernels().of<float>().panel_width;
  const bool half = format == Weights::bfloat16;
  // For so few columns, one dot product per column is faster than a register that stays nearly
  // empty.
  if (columns_ * 4 <= width) {
    words_ = Tensor::empty({columns_, k_});
    auto* to = static_cast<float*>(words_.raw());
    for (std::int64_t i = 0; i < columns_ * k_; ++i)
      to[i] = half ? widened(round_to_bfloat16(from[i])) : from[i];
    return;
  }
  registers_ = (columns_ + width - 1) / width;
  const std::int64_t most = kernels().row_registers;
  const std::int64_t chunks = (registers_ + most - 1) / most;
  per_chunk_ = (registers_ + chunks - 1) / chunks;
  const std::int64_t pairs = (k_ + 1) / 2;
  words_ = Tensor::zeros({registers_ * width * pairs * (half ? 1 : 2)});
  auto* to = static_cast<std::uint32_t*>(words_.raw());
  const auto bits = [&](std::int64_t column, std::int64_t p) {
    return column < columns_ && p < k_ ? __builtin_bit_cast(std::uint32_t, from[column * k_ + p])
                                       : 0;
  };
  for (std::int64_t first = 0; first < registers_; first += per_chunk_) {
    const std::int64_t end = std::min(first + per_chunk_, registers_) * width;
    for (std::int64_t p = 0; p < 2 * pairs; p += 2) {
      for (std::int64_t j = first * width; j < end; j += width) {
        for (std::int64_t lane = 0; lane < width; ++lane, ++to) {
          const std::uint32_t even = bits(j + lane, p), odd = bits(j + lane, p + 1);
          if (half) {
            const auto low = round_to_bfloat16(__builtin_bit_cast(float, even));
            const auto high = round_to_bfloat16(__builtin_bit_cast(float, odd));
            *to = low | static_cast<std::uint32_t>(high) << 16;
          } else {
            to[0] = even;
            to[width] = odd;
          }
        }
        if (!half) to += width;
      }
    }
  }
}

void RowWeights::multiply(const float* a, const float* init, float* y,
                          bool backwards) const noexcept {
  if (!by_columns()) {
    return kernels().multiply_row({k_, registers_, per_chunk_, format_ == Weights::bfloat16,
                                   bytes() > kOwnCacheBytes, backwards, a,
                                   static_cast<const char*>(words_.raw()), init, y});
  }
  const auto* column = static_cast<const float*>(words_.raw());
  for (std::int64_t j = 0; j < columns_; ++j, column += k_)
    y[j] = init[j] + kernels().dot_row(k_, a, column);
}

}  // namespace tapeloop::cpu
