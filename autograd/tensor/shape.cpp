// SPDX-License-Identifier: MIT
// Shapes: construction, printing and the broadcasting rule.
#include "tapeloop/autograd/tensor/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

const char* name(DType dtype) {
  switch (dtype) {
    case DType::float32: return "float32";
    case DType::float64: return "float64";
    default: return "int64";
  }
}

const char* name(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

Shape::Shape(std::initializer_list<std::int64_t> sizes)
    : Shape(std::span<const std::int64_t>(sizes.begin(), sizes.size())) {}

Shape::Shape(std::span<const std::int64_t> sizes) {
  if (sizes.size() > kMaxRank) {
    fail("shape", fmt::format("[{}] has {} axes, at most {} are supported; merge some by reshape",
                              fmt::join(sizes, ", "), sizes.size(), kMaxRank));
  }
  std::int64_t total = 1;
  for (std::int64_t size : sizes) {
    if (size < 0 || __builtin_mul_overflow(total, std::max<std::int64_t>(size, 1), &total)) {
      fail("shape", fmt::format("[{}] is not a shape: sizes must be 0 or more, and their product "
                                "must fit in 63 bits",
                                fmt::join(sizes, ", ")));
    }
    sizes_[static_cast<std::size_t>(rank_++)] = size;
  }
}

int Shape::axis(int axis) const {
  if (axis < -rank_ || axis >= rank_) {
    fail("axis",
         fmt::format("{} is not an axis of {}; give {} to {}", axis, str(), -rank_, rank_ - 1));
  }
  return axis < 0 ? axis + rank_ : axis;
}

Shape Shape::with(int axis, std::int64_t size) const {
  Shape result = *this;
  result[this->axis(axis)] = size;
  return result;
}

Shape Shape::inserted(int axis, std::int64_t size) const {
  if (rank_ == kMaxRank) {
    fail("shape", fmt::format("{} has {} axes, the most that are supported, and cannot have one "
                              "more; merge some by reshape",
                              str(), kMaxRank));
  }
  if (axis < 0) axis += rank_ + 1;
  if (axis < 0 || axis > rank_) {
    fail("axis",
         fmt::format("cannot insert an axis at {} into {}; give 0 to {}", axis, str(), rank_));
  }
  Shape result = *this;
  for (int i = rank_; i > axis; --i) result[i] = result[i - 1];
  result[axis] = size;
  ++result.rank_;
  return result;
}

Shape Shape::removed(int axis) const {
  Shape result = *this;
  for (int i = this->axis(axis); i + 1 < rank_; ++i) result[i] = result[i + 1];
  --result.rank_;
  result[result.rank_] = 0;
  return result;
}

std::string Shape::str() const { return fmt::format("[{}]", fmt::join(begin(), end(), ", ")); }

Shape broadcast(const char* operation, const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape result = longer;
  for (int i = 1; i <= shorter.rank(); ++i) {
    std::int64_t x = longer[longer.rank() - i];
    std::int64_t y = shorter[shorter.rank() - i];
    if (x != y && x != 1 && y != 1) {
      fail(operation,
           fmt::format("cannot broadcast {} with {}: sizes {} and {} at axis -{} must be "
                       "equal, or one of them 1; reshape or slice one of the two",
                       a.str(), b.str(), a.dim(-i), b.dim(-i), i));
    }
    result[longer.rank() - i] = x == 1 ? y : x;
  }
  return result;
}

}  // namespace tapeloop
