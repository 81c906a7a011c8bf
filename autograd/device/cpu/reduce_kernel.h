// SPDX-License-Identifier: MIT
// Reductions on the CPU for one instruction set: along contiguous rows, across rows, or over any
// strides. The order of additions depends only on the shape, never on the number of threads.
#pragma once

#include <cstring>
#include <type_traits>

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/number/reduction.h"
#include "tapeloop/autograd/number/unroll.h"
#include "tapeloop/autograd/number/vec.h"

namespace tapeloop::cpu {

// The kept axes (with strides in source and result) and the reduced axes, each outermost first.
struct ReducePlan {
  int kept = 0;
  std::int64_t kept_sizes[kMaxRank];
  std::int64_t kept_from[kMaxRank];
  std::int64_t kept_to[kMaxRank];
  int reduced = 0;
  std::int64_t reduced_sizes[kMaxRank];
  std::int64_t reduced_from[kMaxRank];
};

// The order of a sum. A contiguous row is cut into blocks of kBlock elements. Each block is added
// up in 8 registers, and the sums of the blocks are joined pairwise. In other layouts kChunk rows
// (or elements) are added one after the other, and the sums of the chunks are joined pairwise. So
// |sum - exact| <= (2 kChunk + log2(n)) u sum|x|, u = 2^-24 for float32. Usually the error is a few
// u.
template <class Isa, class T, Reduction kKind>
struct ReduceLoop {
  using V = Vec<T, Isa>;
  static constexpr std::int64_t kWidth = V::width;
  static constexpr int kColumns = 4;  // adjacent registers per pass when whole rows are added
  static constexpr std::int64_t kBlock = 4096;
  static constexpr std::int64_t kChunk = 256;

  // Calculates results [begin, end) of the kept axes in row-major order. If the last kept axis is
  // contiguous, [begin, end) counts the axes before it, and one call does the whole last axis.
  static void run(const ReducePlan& plan, const T* from, T* to, std::int64_t begin,
                  std::int64_t end) {
    const int last = plan.kept - 1;
    bool across = plan.kept > 0 && plan.kept_from[last] == 1 && plan.kept_to[last] == 1 &&
                  !(plan.reduced > 0 && plan.reduced_from[plan.reduced - 1] == 1);
    const int outer = across ? last : plan.kept;
    for (std::int64_t i = begin; i < end; ++i) {
      std::int64_t rest = i;
      const T* source = from;
      T* target = to;
      for (int axis = outer - 1; axis >= 0; --axis) {
        std::int64_t index = rest % plan.kept_sizes[axis];
        rest /= plan.kept_sizes[axis];
        source += index * plan.kept_from[axis];
        target += index * plan.kept_to[axis];
      }
      if (across) {
        across_rows(plan, source, target, plan.kept_sizes[last]);
      } else {
        *target = all(plan, source);
      }
    }
  }

 private:
  // The last additions of a sum are in float64, so that a float32 sum is rounded once there.
  using Wide = std::conditional_t<kKind == Reduction::sum, double, T>;

  // Joins parts of kLanes numbers pairwise, like the carries of a binary counter. With n parts,
  // each part goes through log2(n) additions.
  template <std::int64_t kLanes>
  class Cascade {
   public:
    void add(const T* part) {
      T lanes[kLanes];
      std::memcpy(lanes, part, sizeof(lanes));
      int level = 0;
      for (std::uint64_t carry = parts_++; (carry & 1) != 0; carry >>= 1, ++level) {
        for (int k = 0; k < kLanes; ++k) lanes[k] = combine<kKind>(levels_[level][k], lanes[k]);
      }
      std::memcpy(levels_[level], lanes, sizeof(lanes));
    }
    void total(Wide* to) const {
      for (int k = 0; k < kLanes; ++k) to[k] = neutral<kKind, Wide>();
      int level = 0;
      for (std::uint64_t left = parts_; left != 0; left >>= 1, ++level) {
        if ((left & 1) == 0) continue;
        for (int k = 0; k < kLanes; ++k)
          to[k] = combine<kKind>(to[k], static_cast<Wide>(levels_[level][k]));
      }
    }

   private:
    static constexpr int kLevels = 48;  // enough for 2^48 parts
    std::uint64_t parts_ = 0;
    T levels_[kLevels][kLanes];
  };

  static std::int64_t rows(const ReducePlan& plan, int axes) {
    std::int64_t count = 1;
    for (int axis = 0; axis < axes; ++axis) count *= plan.reduced_sizes[axis];
    return count;
  }
  static std::int64_t offset(const ReducePlan& plan, int axes, std::int64_t row) {
    std::int64_t result = 0;
    for (int axis = axes - 1; axis >= 0; --axis) {
      result += row % plan.reduced_sizes[axis] * plan.reduced_from[axis];
      row /= plan.reduced_sizes[axis];
    }
    return result;
  }

  // Calculates one result: rows along the innermost reduced axis.
  static T all(const ReducePlan& plan, const T* source) {
    if (plan.reduced == 0) return *source;
    const int last = plan.reduced - 1;
    const std::int64_t length = plan.reduced_sizes[last];
    const std::int64_t stride = plan.reduced_from[last];
    const auto row_total = [=](const T* line) {
      return stride == 1 ? contiguous(line, length) : strided(line, length, stride);
    };
    if (last == 0) return row_total(source);
    return in_chunks(rows(plan, last),
                     [&](std::int64_t row) { return row_total(source + offset(plan, last, row)); });
  }
  // Joins term(0), ..., term(count - 1).
  template <class Term>
  static T in_chunks(std::int64_t count, Term term) {
    const auto chunk = [&](std::int64_t first, std::int64_t end) {
      T part = neutral<kKind, T>();
      for (std::int64_t i = first; i < end; ++i) part = combine<kKind>(part, term(i));
      return part;
    };
    if (count <= kChunk) return chunk(0, count);
    Cascade<1> cascade;
    for (std::int64_t i = 0; i < count; i += kChunk) {
      const T part = chunk(i, count - i < kChunk ? count : i + kChunk);
      cascade.add(&part);
    }
    Wide total;
    cascade.total(&total);
    return static_cast<T>(total);
  }
  static T strided(const T* line, std::int64_t length, std::int64_t stride) {
    return in_chunks(length, [=](std::int64_t i) { return line[i * stride]; });
  }

  // Reduces the whole registers of a line. Moves `line` and `length` to the rest of the line, which
  // is shorter than a register.
  template <int kChains>
  static TL_HD V registers_of(const T*& line, std::int64_t& length) {
    V chains[kChains];
    for (V& chain : chains) chain = V::splat(neutral<kKind, T>());
    for (; length >= kChains * kWidth; length -= kChains * kWidth, line += kChains * kWidth) {
      unroll<kChains>([&](auto c) __attribute__((always_inline)) {
        chains[c] = combine<kKind>(chains[c], V::load(line + c * kWidth));
      });
    }
    for (; length >= kWidth; length -= kWidth, line += kWidth)
      chains[0] = combine<kKind>(chains[0], V::load(line));
    for (int step = kChains / 2; step > 0; step /= 2)
      for (int c = 0; c < step; ++c) chains[c] = combine<kKind>(chains[c], chains[c + step]);
    return chains[0];
  }
  template <int kBytes>
  struct Narrow {
    static constexpr int vector_bytes = kBytes;
  };
  // Joins the lanes of a register pairwise: halves, quarters, ...
  template <class Width>
  static TL_HD T joined(Vec<T, Width> x) {
    if constexpr (Width::vector_bytes > 16) {
      using Half = Vec<T, Narrow<Width::vector_bytes / 2>>;
      struct Halves {
        typename Half::Raw low, high;
      };
      const auto halves = __builtin_bit_cast(Halves, x.raw);
      return joined(combine<kKind>(Half{halves.low}, Half{halves.high}));
    } else if constexpr (sizeof(T) == 8) {
      return combine<kKind>(static_cast<T>(x.raw[0]), static_cast<T>(x.raw[1]));
    } else {
      return combine<kKind>(combine<kKind>(static_cast<T>(x.raw[0]), static_cast<T>(x.raw[2])),
                            combine<kKind>(static_cast<T>(x.raw[1]), static_cast<T>(x.raw[3])));
    }
  }
  template <int kChains>
  static TL_HD T short_row(const T* line, std::int64_t length) {
    T total = joined(registers_of<kChains>(line, length));
    for (; length > 0; --length, ++line) total = combine<kKind>(total, *line);
    return total;
  }
  static T contiguous(const T* line, std::int64_t length) {
    if (length < 16 * kWidth) return short_row<4>(line, length);
    if (length <= kBlock) return short_row<8>(line, length);
    return long_row(line, length);
  }
  [[gnu::noinline]] static T long_row(const T* line, std::int64_t length) {
    Cascade<kWidth> cascade;
    T lanes[kWidth];
    for (; length >= kBlock; length -= kBlock) {
      std::int64_t left = kBlock;
      registers_of<8>(line, left).store(lanes);
      cascade.add(lanes);
    }
    registers_of<8>(line, length).store(lanes);
    cascade.add(lanes);
    Wide totals[kWidth];
    cascade.total(totals);
    for (std::int64_t step = kWidth / 2; step > 0; step /= 2)
      for (std::int64_t i = 0; i < step; ++i)
        totals[i] = combine<kKind>(totals[i], totals[i + step]);
    Wide total = totals[0];
    for (; length > 0; --length, ++line) total = combine<kKind>(total, static_cast<Wide>(*line));
    return static_cast<T>(total);
  }

  // Calculates `width` adjacent results: combines whole rows into them.
  static void across_rows(const ReducePlan& plan, const T* source, T* target, std::int64_t width) {
    const std::int64_t count = rows(plan, plan.reduced);
    std::int64_t column = 0;
    for (; column + kColumns * kWidth <= width; column += kColumns * kWidth) {
      columns<kColumns>(plan, source + column, target + column, count);
    }
    for (; column + kWidth <= width; column += kWidth)
      columns<1>(plan, source + column, target + column, count);
    for (; column < width; ++column) {
      target[column] = in_chunks(count, [&](std::int64_t row) {
        return source[column + offset(plan, plan.reduced, row)];
      });
    }
  }
  // Reduces kVectors adjacent registers over rows [first, end).
  template <int kVectors>
  static TL_HD void chunk_of(const ReducePlan& plan, const T* source, std::int64_t first,
                             std::int64_t end, T* to) {
    V part[kVectors];
    for (V& sum : part) sum = V::splat(neutral<kKind, T>());
    for (std::int64_t k = first; k < end; ++k) {
      const T* line =
          source + (plan.reduced == 1 ? k * plan.reduced_from[0] : offset(plan, plan.reduced, k));
      for (std::int64_t c = 0; c < kVectors; ++c)
        part[c] = combine<kKind>(part[c], V::load(line + c * kWidth));
    }
    for (std::int64_t c = 0; c < kVectors; ++c) part[c].store(to + c * kWidth);
  }
  template <int kVectors>
  static void columns(const ReducePlan& plan, const T* source, T* target, std::int64_t count) {
    if (count <= kChunk) return chunk_of<kVectors>(plan, source, 0, count, target);
    many_rows<kVectors>(plan, source, target, count);
  }
  template <int kVectors>
  [[gnu::noinline]] static void many_rows(const ReducePlan& plan, const T* source, T* target,
                                          std::int64_t count) {
    constexpr std::int64_t kLanes = kVectors * kWidth;
    Cascade<kLanes> cascade;
    T part[kLanes];
    for (std::int64_t row = 0; row < count; row += kChunk) {
      chunk_of<kVectors>(plan, source, row, count - row < kChunk ? count : row + kChunk, part);
      cascade.add(part);
    }
    Wide totals[kLanes];
    cascade.total(totals);
    for (std::int64_t k = 0; k < kLanes; ++k) target[k] = static_cast<T>(totals[k]);
  }
};

}  // namespace tapeloop::cpu
