// SPDX-License-Identifier: MIT
// RowWeights: a weight matrix for products with one vector at a time, stored in the order in which
// it is read. Float32 or bfloat16. Only a Stepper uses it. panels.h is for many rows, and for sums
// that must not depend on the number of threads.
#pragma once

#include <cstdint>
#include <span>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

// The storage format of weights. Bfloat16 is the upper half of a float32: the same range, with 8
// bits of precision instead of 24.
enum class Weights { float32, bfloat16 };

namespace cpu {

// The 16 bits of the nearest bfloat16; a tie rounds to even, NaN stays NaN.
std::uint16_t round_to_bfloat16(float x);

// y = init + W a, for W [columns, k]. The columns are cut into registers, and the registers into
// chunks. Within a chunk the weights of two successive k are adjacent, for each of its registers:
// in float32 as two registers; in bfloat16 as one register, whose 32-bit lanes hold the even k in
// the lower half and the odd k in the upper half. If k is odd, the last one is paired with zeros.
struct RowProduct {
  std::int64_t k;
  std::int64_t registers;  // registers of columns; the last one is filled up with zeros
  std::int64_t per_chunk;  // registers of each chunk; the last chunk may have fewer
  bool half;               // bfloat16
  bool far;                // the weights do not fit the core's own caches: prefetch
  bool backwards;          // starts with the last chunk; the result is the same
  const float* a;          // [k]
  const char* weights;
  const float* init;  // whole registers, like y
  float* y;
};

template <class Isa>
void multiply_row(const RowProduct& product);
template <class Isa>
float dot_row(std::int64_t k, const float* a, const float* b);

class RowWeights {
 public:
  RowWeights() = default;
  // Joins the matrices [rows, k_i], float32 on the CPU, side by side.
  RowWeights(std::span<const Tensor> matrices, Weights format);

  bool defined() const { return words_.defined(); }
  // y = init + W a. `init` and `y` are whole registers; nothing beyond a[k - 1] is read. With
  // `backwards` the memory is read chunk by chunk from the other end: the weights that the last
  // product left in the cache then come first. The result has the same bits.
  void multiply(const float* a, const float* init, float* y, bool backwards) const noexcept;
  std::int64_t bytes() const { return defined() ? 4 * words_.numel() : 0; }

 private:
  bool by_columns() const { return per_chunk_ == 0; }  // few columns: a dot product for each

  std::int64_t k_ = 0, columns_ = 0, registers_ = 0, per_chunk_ = 0;
  Weights format_ = Weights::float32;
  Tensor words_;  // 32 bits each: a float32, or two bfloat16
};

}  // namespace cpu
}  // namespace tapeloop
