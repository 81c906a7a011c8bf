// SPDX-License-Identifier: MIT
// RowWeights: a weight matrix for products with one vector after another, laid out as the one stream in which it is read.
// Float32 or bfloat16. Only the products of a Stepper use it: many rows, and sums that must not depend on the number of
// threads, are for panels.h.
#pragma once

#include <cstdint>
#include <span>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

// How weights are stored. Bfloat16 is the upper half of a float32: its range, with 8 bits of precision instead of 24.
enum class Weights { float32, bfloat16 };

namespace cpu {

// The nearest bfloat16, a tie to the even one, NaN to a NaN: its 16 bits.
std::uint16_t round_to_bfloat16(float x);

// y = init + W a, for W [columns, k] in registers' widths of columns, some of which make a chunk. Within a chunk the
// weights of two successive k stand together, for each of its registers: as two registers of float32, or as one whose
// 32-bit lanes hold the even k below and the odd k above in bfloat16. An odd last k has a partner of zeros.
struct RowProduct {
  std::int64_t k;
  std::int64_t registers;  // of columns, the last one filled up with zeros
  std::int64_t per_chunk;  // registers of every chunk but the last, which has the rest
  bool half;               // bfloat16
  bool far;                // in no cache of this core
  bool backwards;          // the last chunk first: the same sums
  const float* a;          // [k]
  const char* weights;
  const float* init;  // whole registers, as y
  float* y;
};

template <class Isa>
void multiply_row(const RowProduct& product);
template <class Isa>
float dot_row(std::int64_t k, const float* a, const float* b);

class RowWeights {
 public:
  RowWeights() = default;
  // The matrices [rows, k_i], float32 on the CPU, side by side.
  RowWeights(std::span<const Tensor> matrices, Weights format);

  bool defined() const { return words_.defined(); }
  // y = init + W a, whole registers of `init` and `y`; nothing beyond a[k - 1] is read. With `backwards` the memory is read
  // from the other end, with the same bits as result: what the last product left in the cache is then read first.
  void multiply(const float* a, const float* init, float* y, bool backwards) const noexcept;
  std::int64_t bytes() const { return defined() ? 4 * words_.numel() : 0; }

 private:
  bool by_columns() const { return per_chunk_ == 0; }  // few columns: each as one dot product

  std::int64_t k_ = 0, columns_ = 0, registers_ = 0, per_chunk_ = 0;
  Weights format_ = Weights::float32;
  Tensor words_;  // of 32 bits: a float32, or two bfloat16
};

}  // namespace cpu
}  // namespace tapeloop
