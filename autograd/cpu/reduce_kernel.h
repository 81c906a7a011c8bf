// SPDX-License-Identifier: MIT
// Reductions on the CPU for one instruction set: along contiguous rows, across rows, or over any strides.
// The order of additions depends on the shape alone, never on the number of threads.
#pragma once

#include "autograd/backend.h"
#include "autograd/reduction.h"

namespace tapeloop::cpu {

// Axes that stay (with strides in source and result) and axes that are reduced, each outermost first.
struct ReducePlan {
  int kept = 0;
  std::int64_t kept_sizes[kMaxRank];
  std::int64_t kept_from[kMaxRank];
  std::int64_t kept_to[kMaxRank];
  int reduced = 0;
  std::int64_t reduced_sizes[kMaxRank];
  std::int64_t reduced_from[kMaxRank];
};

template <class Isa, class T, Reduction kKind>
struct ReduceLoop {
  using V = Vec<T, Isa>;
  static constexpr std::int64_t kWidth = V::width;
  static constexpr std::int64_t kChains =
      4;  // independent accumulators hide the latency of an addition
  static constexpr std::int64_t kChunk =
      256;  // rows added up before they join the total: keeps rounding small

  // Results [begin, end) of the kept axes in row-major order; `inner` axes of the kept ones are done by one call.
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

  // One result: rows along the innermost reduced axis.
  static T all(const ReducePlan& plan, const T* source) {
    if (plan.reduced == 0) return *source;
    const int last = plan.reduced - 1;
    const std::int64_t count = rows(plan, last);
    T total = neutral<kKind, T>();
    for (std::int64_t row = 0; row < count; ++row) {
      const T* line = source + offset(plan, last, row);
      total = combine<kKind>(
          total, plan.reduced_from[last] == 1
                     ? contiguous(line, plan.reduced_sizes[last])
                     : strided(line, plan.reduced_sizes[last], plan.reduced_from[last]));
    }
    return total;
  }
  static T strided(const T* line, std::int64_t length, std::int64_t stride) {
    T total = neutral<kKind, T>();
    for (std::int64_t i = 0; i < length; i += kChunk) {
      T part = neutral<kKind, T>();
      for (std::int64_t k = i; k < length && k < i + kChunk; ++k)
        part = combine<kKind>(part, line[k * stride]);
      total = combine<kKind>(total, part);
    }
    return total;
  }
  static T contiguous(const T* line, std::int64_t length) {
    V chains[kChains];
    for (V& chain : chains) chain = V::splat(neutral<kKind, T>());
    std::int64_t i = 0;
    for (; i + kChains * kWidth <= length; i += kChains * kWidth) {
      for (std::int64_t c = 0; c < kChains; ++c)
        chains[c] = combine<kKind>(chains[c], V::load(line + i + c * kWidth));
    }
    for (; i + kWidth <= length; i += kWidth)
      chains[0] = combine<kKind>(chains[0], V::load(line + i));
    V joined =
        combine<kKind>(combine<kKind>(chains[0], chains[1]), combine<kKind>(chains[2], chains[3]));
    T lanes[kWidth];
    joined.store(lanes);
    T total = neutral<kKind, T>();
    for (T lane : lanes) total = combine<kKind>(total, lane);
    for (; i < length; ++i) total = combine<kKind>(total, line[i]);
    return total;
  }

  // `width` results side by side: whole rows are combined into them.
  static void across_rows(const ReducePlan& plan, const T* source, T* target, std::int64_t width) {
    const std::int64_t count = rows(plan, plan.reduced);
    std::int64_t column = 0;
    for (; column + kChains * kWidth <= width; column += kChains * kWidth) {
      block<kChains>(plan, source + column, target + column, count);
    }
    for (; column + kWidth <= width; column += kWidth)
      block<1>(plan, source + column, target + column, count);
    for (; column < width; ++column) {
      T total = neutral<kKind, T>();
      for (std::int64_t row = 0; row < count; row += kChunk) {
        T part = neutral<kKind, T>();
        for (std::int64_t k = row; k < count && k < row + kChunk; ++k) {
          part = combine<kKind>(part, source[column + offset(plan, plan.reduced, k)]);
        }
        total = combine<kKind>(total, part);
      }
      target[column] = total;
    }
  }
  template <std::int64_t kVectors>
  static void block(const ReducePlan& plan, const T* source, T* target, std::int64_t count) {
    V total[kVectors];
    for (V& sum : total) sum = V::splat(neutral<kKind, T>());
    for (std::int64_t row = 0; row < count; row += kChunk) {
      V part[kVectors];
      for (V& sum : part) sum = V::splat(neutral<kKind, T>());
      for (std::int64_t k = row; k < count && k < row + kChunk; ++k) {
        const T* line =
            source + (plan.reduced == 1 ? k * plan.reduced_from[0] : offset(plan, plan.reduced, k));
        for (std::int64_t c = 0; c < kVectors; ++c)
          part[c] = combine<kKind>(part[c], V::load(line + c * kWidth));
      }
      for (std::int64_t c = 0; c < kVectors; ++c) total[c] = combine<kKind>(total[c], part[c]);
    }
    for (std::int64_t c = 0; c < kVectors; ++c) total[c].store(target + c * kWidth);
  }
};

}  // namespace tapeloop::cpu
