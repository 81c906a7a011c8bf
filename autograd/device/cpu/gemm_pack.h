// SPDX-License-Identifier: MIT
// Packing: copies a slice of a matrix into a panel that a micro kernel reads from front to back.
// Knows nothing of cache blocks or threads; those are in gemm_kernel.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "tapeloop/autograd/device/cpu/gemm.h"
#include "tapeloop/autograd/number/number.h"
#include "tapeloop/autograd/number/unroll.h"

namespace tapeloop {

// Transposes a square block in registers of 16 or 32 bytes. The block has as many rows as a
// register has elements. Blocks of 64 bytes ran at half the speed, also with AVX-512.
template <class T, int Bytes>
struct TransposeBlock {
  static_assert(Bytes == 16 || Bytes == 32);
  using Raw [[gnu::vector_size(Bytes)]] = T;
  static constexpr int size = Bytes / static_cast<int>(sizeof(T));
  static constexpr int lane = 16 / static_cast<int>(sizeof(T));  // elements of a 128-bit lane
  static constexpr int lanes = Bytes / 16;

  // Index of element i of the result in the concatenation of a and b. Each step of the transpose is
  // one such shuffle, which is one instruction: it exchanges halves, or interleaves within 128-bit
  // lanes.
  static constexpr int halves(int i, bool high) {  // the lower or upper half of a, then that of b
    const int half = size / 2;
    return (i < half ? i : size + i - half) + (high ? half : 0);
  }
  // Interleaves units of `unit` elements within 128-bit lanes.
  static constexpr int interleave(int i, bool high, int unit) {
    const int within = i % lane;
    const int pair = within / unit;
    const int from = (i / lane) * lane + (high ? lane / 2 : 0) + (pair / 2) * unit + within % unit;
    return from + (pair % 2 == 1 ? size : 0);
  }

  template <bool High, int... I>
  static TL_HD Raw take_halves(Raw a, Raw b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, halves(I, High)...);
  }
  template <bool High, int Unit, int... I>
  static TL_HD Raw take_interleaved(Raw a, Raw b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, interleave(I, High, Unit)...);
  }
  static constexpr auto indices = std::make_integer_sequence<int, size>{};

  // Puts the lower lanes of rows i and i + lane into row i, and their upper lanes into row i +
  // lane.
  static TL_HD void transpose_lanes(Raw* rows) {
    if constexpr (lanes == 2) {
      unroll<lane>([&](auto i) __attribute__((always_inline)) {
        const Raw a = rows[i];
        const Raw b = rows[i + lane];
        rows[i] = take_halves<false>(a, b, indices);
        rows[i + lane] = take_halves<true>(a, b, indices);
      });
    }
  }

  static TL_HD void transpose_within_lanes(Raw* rows) {
    unroll<lanes>([&](auto number) __attribute__((always_inline)) {
      constexpr int i = number * lane;
      if constexpr (lane == 2) {
        const Raw a = rows[i];
        rows[i] = take_interleaved<false, 1>(a, rows[i + 1], indices);
        rows[i + 1] = take_interleaved<true, 1>(a, rows[i + 1], indices);
      } else {
        const Raw a = take_interleaved<false, 1>(rows[i], rows[i + 1], indices);
        const Raw b = take_interleaved<true, 1>(rows[i], rows[i + 1], indices);
        const Raw c = take_interleaved<false, 1>(rows[i + 2], rows[i + 3], indices);
        const Raw d = take_interleaved<true, 1>(rows[i + 2], rows[i + 3], indices);
        rows[i] = take_interleaved<false, 2>(a, c, indices);
        rows[i + 1] = take_interleaved<true, 2>(a, c, indices);
        rows[i + 2] = take_interleaved<false, 2>(b, d, indices);
        rows[i + 3] = take_interleaved<true, 2>(b, d, indices);
      }
    });
  }

  static TL_HD void run(const T* from, std::int64_t row_stride, T* to, std::int64_t to_stride) {
    Raw rows[size];
    unroll<size>([&](auto i) __attribute__((always_inline)) {
      std::memcpy(&rows[i], from + i * row_stride, Bytes);
    });
    transpose_lanes(rows);
    transpose_within_lanes(rows);
    unroll<size>([&](auto i) __attribute__((always_inline)) {
      std::memcpy(to + i * to_stride, &rows[i], Bytes);
    });
  }
};

// A panel holds `count` columns of B side by side (for A: rows, seen through the transposed view):
//   panel[p * lead + j] = source[p * depth_stride + j * stride]      0 <= p < depth, 0 <= j < lead
// with zeros for count <= j < lead.
template <class Isa, class T>
struct Packer {
  // The columns of a group are contiguous in p. Transposes them in blocks, the largest block size
  // first.
  template <int Bytes>
  static TL_HD void transpose_group(const T* from, std::int64_t stride, std::int64_t depth,
                                    T* panel, std::int64_t lead) {
    constexpr int size = Bytes / static_cast<int>(sizeof(T));
    constexpr int line = 64 / static_cast<int>(sizeof(T));
    std::int64_t p = 0;
    for (; p + size <= depth; p += size) {
      if (Bytes == 32 && p % line == 0) {  // the hardware does not predict the next group
        unroll<size>([&](auto i) __attribute__((always_inline)) {
          __builtin_prefetch(from + p + (size + i) * stride);
        });
      }
      TransposeBlock<T, Bytes>::run(from + p, stride, panel + p * lead, lead);
    }
    if (p == depth) return;
    if constexpr (Bytes > 16) {
      for (int half = 0; half < 2; ++half) {
        transpose_group<Bytes / 2>(from + p + half * (size / 2) * stride, stride, depth - p,
                                   panel + p * lead + half * (size / 2), lead);
      }
    } else {
      const T* rest = from + p;
      T* to = panel + p * lead;
      for (std::int64_t left = depth - p; left > 0; --left, ++rest, to += lead) {
        for (int j = 0; j < size; ++j) to[j] = rest[j * stride];
      }
    }
  }

  template <int Bytes>
  static TL_HD std::int64_t transpose_groups(const T* from, std::int64_t stride, std::int64_t depth,
                                             std::int64_t j, std::int64_t count, T* panel,
                                             std::int64_t lead) {
    constexpr int size = Bytes / static_cast<int>(sizeof(T));
    if constexpr (Bytes <= Isa::vector_bytes) {
      for (; j + size <= count; j += size) {
        transpose_group<Bytes>(from + j * stride, stride, depth, panel + j, lead);
      }
    }
    return j;
  }

  // Copies rows of `Bytes` bytes that are contiguous in the source: the row panels of A.
  template <int Bytes>
  static TL_HD void copy_rows(const T* from, std::int64_t stride, std::int64_t depth, T* panel,
                              std::int64_t lead) {
    for (std::int64_t p = 0; p < depth; ++p)
      std::memcpy(panel + p * lead, from + p * stride, Bytes);
  }

  // Copies one row of a panel that is contiguous in the source.
  static TL_HD void copy_row(const T* from, std::int64_t count, T* to) {
    constexpr int large = 64 / static_cast<int>(sizeof(T));
    std::int64_t j = 0;
    for (; j + large <= count; j += large) std::memcpy(to + j, from + j, 64);
    if (j + large / 2 <= count) {
      std::memcpy(to + j, from + j, 32);
      j += large / 2;
    }
    if (j + large / 4 <= count) {
      std::memcpy(to + j, from + j, 16);
      j += large / 4;
    }
    for (; j < count; ++j) to[j] = from[j];
  }

  static void pack(const T* source, std::int64_t depth_stride, std::int64_t stride,
                   std::int64_t depth, std::int64_t count, T* panel, std::int64_t lead) {
    const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(T));
    if (stride == 1 && bytes == 16) {
      copy_rows<16>(source, depth_stride, depth, panel, lead);
    } else if (stride == 1 && bytes == 32) {
      copy_rows<32>(source, depth_stride, depth, panel, lead);
    } else if (stride == 1) {
      for (std::int64_t p = 0; p < depth; ++p) {
        copy_row(source + p * depth_stride, count, panel + p * lead);
      }
    } else {
      std::int64_t j = 0;
      if (depth_stride == 1) {
        j = transpose_groups<32>(source, stride, depth, j, count, panel, lead);
        j = transpose_groups<16>(source, stride, depth, j, count, panel, lead);
      }
      for (; j < count; ++j) {
        for (std::int64_t p = 0; p < depth; ++p) {
          panel[p * lead + j] = source[p * depth_stride + j * stride];
        }
      }
    }
    for (std::int64_t p = 0; count < lead && p < depth; ++p) {
      for (std::int64_t j = count; j < lead; ++j) panel[p * lead + j] = T{0};
    }
  }
};

}  // namespace tapeloop
