// SPDX-License-Identifier: MIT
// Rows and elements by index: embedding, take, gather. Gradients of a repeated index add up.
#include <fmt/format.h>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

// `x` is what the operation calls the tensor that it reads from.
void check_index(const char* name, const Tensor& index, const char* x, const Shape& shape,
                 int axis) {
  if (!index.defined() || index.dtype() != DType::int64) {
    fail(name, "the index must be an int64 tensor, got " + index.describe());
  }
  if (!index.on_host()) return;  // the kernels of its device check it
  const std::int64_t size = shape[axis];
  Tensor flat = index.contiguous();
  const std::int64_t* values = flat.read<std::int64_t>();
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    if (values[i] < 0 || values[i] >= size) {
      fail(name,
           fmt::format("index {} at position {} of {} is outside 0..{}, the range of axis {}; {} "
                       "is {}",
                       values[i], i, index.shape().str(), size - 1, axis, x, shape.str()));
    }
  }
}

Var take_rows(const char* name, const Var& w, const Tensor& index);

// [rows, width] of zeros, with the rows of dy added at `index`: the adjoint of take_rows.
Var add_rows(const char* name, const Var& dy, const Tensor& index, std::int64_t rows) {
  const detail::Operation operation(name);
  Tensor result = Tensor::zeros({rows, dy.dim(1)}, dy.dtype(), dy.device());
  backend(dy.device()).add_rows(result, index, dy.value());
  return record(name, {&dy}, std::move(result), [&] {
    return [name, index = Saved(index, kSavedIndex)](const Var& ddy, Grads& grads) {
      grads.add(0, [&] { return take_rows(name, ddy, index); });
    };
  });
}

// Rows of w [rows, width] by index [n]. `name` is the operation that the user called.
Var take_rows(const char* name, const Var& w, const Tensor& index) {
  const detail::Operation operation(name);
  Tensor result = Tensor::empty({index.numel(), w.dim(1)}, w.dtype(), w.device());
  backend(w.device()).take_rows(result, w.value(), index, false);
  return record(name, {&w}, std::move(result), [&] {
    return [name, index = Saved(index, kSavedIndex), rows = w.dim(0)](const Var& dy, Grads& grads) {
      grads.add(0, [&] { return add_rows(name, dy, index, rows); });
    };
  });
}

Var scatter_add(const Var& dy, const Tensor& index, int axis, const Shape& shape) {
  const detail::Operation operation("scatter_add");
  Tensor result = Tensor::zeros(shape, dy.dtype(), dy.device());
  backend(dy.device()).scatter_add(result, index, dy.value(), axis);
  return record("scatter_add", {&dy}, std::move(result), [&] {
    return [index = Saved(index, kSavedIndex), axis](const Var& ddy, Grads& grads) {
      grads.add(0, [&] { return gather(ddy, index, axis); });
    };
  });
}

}  // namespace

Var embedding(const Var& w, const Tensor& index) {
  if (w.rank() != 2) fail("embedding", "the table must be [V, E], got " + w.shape().str());
  check_index("embedding", index, "the table", w.shape(), 0);
  Shape shape = index.shape().inserted(index.rank(), w.dim(1));
  return reshape(take_rows("embedding", w, index.reshape(Shape{index.numel()})), shape);
}

Var take(const Var& x, const Tensor& index, int axis) {
  int a = x.shape().axis(axis);
  if (index.rank() != 1) {
    fail("take", fmt::format("the index must have one axis, got {}; reshape it, or use gather",
                             index.shape().str()));
  }
  check_index("take", index, "x", x.shape(), a);
  if (a == 0) {
    Var rows = reshape(x, Shape{x.dim(0), x.dim(0) == 0 ? 0 : x.numel() / x.dim(0)});
    return reshape(take_rows("take", rows, index), x.shape().with(0, index.numel()));
  }
  return transpose(take(transpose(x, 0, a), index, 0), 0, a);
}

Var add_rows(const Var& x, const Tensor& index, std::int64_t rows) {
  if (x.rank() < 1 || index.rank() != 1 || index.numel() != x.dim(0) || rows < 0) {
    fail("add_rows",
         fmt::format("x is {}, the index {}, for {} rows; expected an index for each row of x, "
                     "and a number of rows",
                     x.shape().str(), index.describe(), rows));
  }
  check_index("add_rows", index, "the result", x.shape().with(0, rows), 0);
  const Var flat = reshape(x, Shape{x.dim(0), x.shape().with(0, 1).numel()});
  return reshape(add_rows("add_rows", flat, index, rows), x.shape().with(0, rows));
}

Var gather(const Var& x, const Tensor& index, int axis) {
  int a = x.shape().axis(axis);
  bool fits = index.rank() == x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = i == a || index.shape()[i] == x.shape()[i];
  if (!fits) {
    fail("gather",
         fmt::format("the index is {}, x is {}: their sizes must be equal in all axes but axis {}",
                     index.shape().str(), x.shape().str(), a));
  }
  check_index("gather", index, "x", x.shape(), a);
  const detail::Operation operation("gather");
  Tensor result = Tensor::empty(index.shape(), x.dtype(), x.device());
  backend(x.device()).gather(result, x.value(), index, a);
  return record("gather", {&x}, std::move(result), [&] {
    return [index = Saved(index, kSavedIndex), a, shape = x.shape()](const Var& dy, Grads& grads) {
      grads.add(0, [&] { return scatter_add(dy, index, a, shape); });
    };
  });
}

}  // namespace tapeloop
