// SPDX-License-Identifier: MIT
// Views of tensors: the same memory with another shape, other strides, another first element.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/tensor.h"
#include "tapeloop/autograd/tensor/tensor_builder.h"
#include "tapeloop/autograd/tensor/windows.h"

namespace tapeloop {

using Build = TensorBuilder;

Tensor Tensor::transpose(int axis_a, int axis_b) const {
  check_defined("transpose", *this);
  int a = shape_.axis(axis_a);
  int b = shape_.axis(axis_b);
  Tensor result = *this;
  std::swap(Build::shape(result)[a], Build::shape(result)[b]);
  std::swap(Build::stride(result, a), Build::stride(result, b));
  return result;
}

Tensor Tensor::permute(std::span<const int> axes) const {
  check_defined("permute", *this);
  std::array<bool, kMaxRank> seen{};
  Tensor result = *this;
  bool valid = static_cast<int>(axes.size()) == rank();
  for (int i = 0; valid && i < rank(); ++i) {
    int from = shape_.axis(axes[static_cast<std::size_t>(i)]);
    valid = !std::exchange(seen[static_cast<std::size_t>(from)], true);
    Build::shape(result)[i] = shape_[from];
    Build::stride(result, i) = stride(from);
  }
  if (!valid) {
    fail("permute", fmt::format("[{}] does not name each axis of {} once", fmt::join(axes, ", "),
                                shape_.str()));
  }
  return result;
}

Tensor Tensor::slice(int axis, std::int64_t start, std::int64_t stop, std::int64_t step) const {
  check_defined("slice", *this);
  int a = shape_.axis(axis);
  std::int64_t size = shape_[a];
  if (step < 1 || start < 0 || stop < start || stop > size) {
    fail("slice",
         fmt::format("[{}:{}:{}] of axis {} of {}: need 0 <= start <= stop <= {} and step >= 1",
                     start, stop, step, a, shape_.str(), size));
  }
  Tensor result = *this;
  // A longer step takes only the first element, as a step of the axis' size does.
  step = std::min(step, std::max<std::int64_t>(size, 1));
  Build::advance(result, start * stride(a));
  Build::shape(result)[a] = (stop - start + step - 1) / step;
  Build::stride(result, a) *= step;
  return result;
}

Tensor Tensor::select(int axis, std::int64_t index) const {
  check_defined("select", *this);
  int a = shape_.axis(axis);
  std::int64_t i = index < 0 ? index + shape_[a] : index;
  if (i < 0 || i >= shape_[a]) {
    const std::string range = shape_[a] == 0
                                  ? "the axis is empty"
                                  : fmt::format("give {} to {}", -shape_[a], shape_[a] - 1);
    fail("select",
         fmt::format("index {} is outside axis {} of {}; {}", index, a, shape_.str(), range));
  }
  Tensor result = *this;
  Build::advance(result, i * stride(a));
  Build::shape(result) = shape_.removed(a);
  for (int k = a; k + 1 < rank(); ++k) Build::stride(result, k) = stride(k + 1);
  return result;
}

Tensor Tensor::insert_axis(int axis) const {
  check_defined("insert_axis", *this);
  Tensor result = *this;
  Build::shape(result) = shape_.inserted(axis, 1);
  int a = axis < 0 ? axis + rank() + 1 : axis;
  for (int k = rank(); k > a; --k) Build::stride(result, k) = stride(k - 1);
  Build::stride(result, a) = 1;
  return result;
}

Tensor Tensor::expand(const Shape& shape) const {
  check_defined("expand", *this);
  int added = shape.rank() - rank();
  bool valid = added >= 0;
  Tensor result = *this;
  Build::shape(result) = shape;
  for (int i = shape.rank() - 1; valid && i >= 0; --i) {
    bool stretched = i < added || shape_[i - added] == 1;
    valid = stretched || shape_[i - added] == shape[i];
    Build::stride(result, i) = stretched ? 0 : stride(i - added);
  }
  if (!valid) {
    fail("expand", fmt::format("{} cannot be expanded to {}: only axes of size 1 can be expanded, "
                               "and new axes come at the front",
                               shape_.str(), shape.str()));
  }
  return result;
}

Tensor Tensor::flip(int axis) const {
  check_defined("flip", *this);
  int a = shape_.axis(axis);
  Tensor result = *this;
  if (numel() == 0) return result;
  Build::advance(result, (shape_[a] - 1) * stride(a));
  Build::stride(result, a) = -stride(a);
  return result;
}

// Sets the strides for `shape` over the same elements. A run of old axes that is laid out like one
// axis can be divided into other axes; returns false if `shape` needs more than that.
static bool view_strides(const Tensor& tensor, const Shape& shape, Tensor& result) {
  int old_axis = 0;
  int new_axis = 0;
  const Shape& old = tensor.shape();
  while (old_axis < old.rank() || new_axis < shape.rank()) {
    int old_end = old_axis;
    int new_end = new_axis;
    std::int64_t old_count = old_end < old.rank() ? old[old_end++] : 1;
    std::int64_t new_count = new_end < shape.rank() ? shape[new_end++] : 1;
    while (old_count != new_count) {
      if (old_count < new_count) {
        old_count *= old[old_end++];
      } else {
        new_count *= shape[new_end++];
      }
    }
    // Within old axes [old_axis, old_end) the layout must be that of one axis.
    std::int64_t innermost = 1;
    std::int64_t expected = 0;
    bool first = true;
    for (int i = old_end - 1; i >= old_axis; --i) {
      if (old[i] == 1) continue;
      if (std::exchange(first, false)) {
        innermost = tensor.stride(i);
      } else if (tensor.stride(i) != expected) {
        return false;
      }
      expected = tensor.stride(i) * old[i];
    }
    for (int i = new_end - 1; i >= new_axis; --i) {
      Build::stride(result, i) = innermost;
      innermost *= shape[i];
    }
    old_axis = old_end;
    new_axis = new_end;
  }
  return true;
}

Tensor Tensor::reshape(const Shape& wanted) const {
  check_defined("reshape", *this);
  Shape shape = wanted;
  if (shape.numel() != numel()) {
    fail("reshape", fmt::format("{} has {} elements, {} has {}; both must have as many",
                                shape_.str(), numel(), shape.str(), shape.numel()));
  }
  Tensor result = *this;
  Build::shape(result) = shape;
  if (numel() == 0) {
    Build::set_row_major(result, shape);
    return result;
  }
  if (view_strides(*this, shape, result)) return result;
  result = clone();
  Build::set_row_major(result, shape);
  return result;
}

Tensor detail::windows_of(const Tensor& x, std::int64_t count) {
  Tensor result = x;
  Build::shape(result) = Shape{x.dim(0) - count + 1, count * x.dim(1)};
  Build::stride(result, 0) = x.dim(1);
  Build::stride(result, 1) = 1;
  return result;
}

}  // namespace tapeloop
