// SPDX-License-Identifier: MIT
// TensorBuilder: how tensor.cpp and views.cpp make tensors. Not for programs.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "tapeloop/autograd/tensor/device_memory.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

inline void check_defined(const char* name, const Tensor& tensor) {
  if (!tensor.defined()) fail(name, "the tensor is undefined; assign one first");
}

// Builds tensors. A view differs from its source only in shape, strides and first element.
class TensorBuilder {
 public:
  static Tensor fresh(const Shape& shape, DType dtype, Device device) {
    // Checks the product of the sizes, because operations make shapes without this check
    // (broadcasting, concat).
    std::int64_t bytes = size_of(dtype);
    bool fits = true, empty = false;
    for (std::int64_t size : shape) {
      fits &= !__builtin_mul_overflow(bytes, std::max<std::int64_t>(size, 1), &bytes);
      empty |= size == 0;
    }
    if (!fits || bytes > std::numeric_limits<std::int64_t>::max() / 2) {
      fail("tensor",
           fmt::format("a tensor {} of {} needs more memory than any machine has; check the sizes",
                       shape.str(), name(dtype)));
    }
    if (empty) bytes = 0;
    Tensor result;
    result.storage_ = detail::new_storage(static_cast<std::size_t>(bytes), device);
    result.data_ = device == Device::cpu
                       ? reinterpret_cast<char*>(result.storage_) + detail::kHeaderBytes
                       : static_cast<char*>(device_memory(device).address(result.storage_));
    result.dtype_ = dtype;
    set_row_major(result, shape);
    return result;
  }
  static Tensor view(const Tensor& source) { return source; }
  static void set_row_major(Tensor& tensor, const Shape& shape) {
    tensor.shape_ = shape;
    std::int64_t stride = 1;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      tensor.strides_[static_cast<std::size_t>(i)] = stride;
      stride *= shape[i];
    }
  }
  static Shape& shape(Tensor& tensor) { return tensor.shape_; }
  static std::int64_t& stride(Tensor& tensor, int axis) {
    return tensor.strides_[static_cast<std::size_t>(axis)];
  }
  static void advance(Tensor& tensor, std::int64_t elements) {
    tensor.data_ += elements * size_of(tensor.dtype_);
  }
};

}  // namespace tapeloop
