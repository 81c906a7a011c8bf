// SPDX-License-Identifier: MIT
// Operations that only move elements: reshape, transpose, slice, concat, stack and their inverses.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

// The shape, with a single -1 replaced so that the number of elements stays the same.
Shape resolved(std::initializer_list<std::int64_t> sizes, const Shape& from) {
  std::array<std::int64_t, kMaxRank> known{};
  std::int64_t product = 1;
  bool valid = true;
  int open = -1;
  int n = 0;
  if (sizes.size() > kMaxRank)
    fail("reshape",
         fmt::format("{} sizes were given, expected at most {}", sizes.size(), kMaxRank));
  for (std::int64_t size : sizes) {
    if (size == -1 && open < 0) {
      open = n;
    } else {
      valid = valid && size >= 0 && !__builtin_mul_overflow(product, size, &product);
    }
    known[static_cast<std::size_t>(n++)] = size;
  }
  if (open >= 0 && !valid) {
    fail("reshape", fmt::format("the sizes are [{}]; expected sizes of 0 or more, at most one of "
                                "them -1, and a product that fits in 63 bits",
                                fmt::join(sizes, ", ")));
  }
  if (open >= 0) {
    if (product <= 0 || from.numel() % product != 0) {
      fail("reshape",
           fmt::format("no size fits for -1: the other sizes hold {} elements, {} has {}", product,
                       from.str(), from.numel()));
    }
    known[static_cast<std::size_t>(open)] = from.numel() / product;
  }
  return Shape(std::span<const std::int64_t>(known.data(), static_cast<std::size_t>(n)));
}

// A tensor full of `value`, with `part` copied into the view place(whole). With zeros this is the
// adjoint of a slice.
template <class Place>
Var place_in(double value, const char* name, const Shape& whole, const Var& part, Place place) {
  Tensor result = Tensor::full(whole, value, part.dtype(), part.device());
  place(result).copy_from(part.value());
  return record(name, {&part}, std::move(result), [whole, place](const Var& dy, Grads& grads) {
    grads.add(0, [&] {
      return record("slice", {&dy}, place(dy.value()),
                    [whole, place](const Var& ddy, Grads& inner) {
                      inner.add(0, [&] { return place_in(0, "place", whole, ddy, place); });
                    });
    });
  });
}

// The view place(x) of a part of x.
template <class Place>
Var part_of(const char* name, const Var& x, Place place) {
  return record(
      name, {&x}, place(x.value()), [whole = x.shape(), place](const Var& dy, Grads& grads) {
        grads.add_part(0, whole, dy, place, [&] { return place_in(0, "place", whole, dy, place); });
      });
}

void check_same_but_axis(const char* name, std::span<const Var> parts, int axis, bool axis_free) {
  const Tensor& first = parts[0].value();
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const Tensor& part = parts[i].value();
    bool fits = part.rank() == first.rank() && part.dtype() == first.dtype() &&
                part.device() == first.device();
    for (int k = 0; fits && k < first.rank(); ++k) {
      fits = part.shape()[k] == first.shape()[k] || (axis_free && k == axis);
    }
    if (!fits) {
      fail(name, fmt::format("part {} is {}, part 0 is {}; they must be equal{}", i,
                             part.describe(), first.describe(),
                             axis_free ? fmt::format(" in all but axis {}", axis) : ""));
    }
  }
}

// total + size; throws on overflow. A view costs no memory, so its sizes
// can be as large as an int64.
std::int64_t plus(const char* name, std::int64_t total, std::int64_t size) {
  if (__builtin_add_overflow(total, size, &total)) {
    fail(name, fmt::format(
                   "the sum of the sizes of the parts does not fit in 63 bits; the last size is {}",
                   size));
  }
  return total;
}

PoolVector<const Var*> pointers(std::span<const Var> vars) {
  PoolVector<const Var*> result;
  for (const Var& x : vars) result.push_back(&x);
  return result;
}

}  // namespace

Var reshape(const Var& x, std::initializer_list<std::int64_t> sizes) {
  return reshape(x, resolved(sizes, x.shape()));
}

Var reshape(const Var& x, const Shape& shape) {
  return record("reshape", {&x}, x.value().reshape(shape),
                [from = x.shape()](const Var& dy, Grads& grads) {
                  grads.add(0, [&] { return reshape(dy, from); });
                });
}

Var transpose(const Var& x, int axis_a, int axis_b) {
  return record("transpose", {&x}, x.value().transpose(axis_a, axis_b),
                [=](const Var& dy, Grads& grads) {
                  grads.add(0, [&] { return transpose(dy, axis_a, axis_b); });
                });
}

Var permute(const Var& x, std::span<const int> axes) {
  Tensor y = x.value().permute(axes);
  std::array<int, kMaxRank> inverse{};
  for (int i = 0; i < x.rank(); ++i) {
    inverse[static_cast<std::size_t>(x.shape().axis(axes[static_cast<std::size_t>(i)]))] = i;
  }
  return record("permute", {&x}, std::move(y), [inverse](const Var& dy, Grads& grads) {
    grads.add(0, [&] {
      return permute(dy, std::span<const int>(inverse.data(), static_cast<std::size_t>(dy.rank())));
    });
  });
}

Var flatten(const Var& x, int first) {
  if (first < 0 || first >= x.rank()) {
    fail("flatten", fmt::format("the first axis is {}, and x is {}", first, x.shape().str()));
  }
  Shape shape = x.shape();
  std::int64_t all = 1;
  while (shape.rank() > first) {
    all *= shape[shape.rank() - 1];
    shape = shape.removed(shape.rank() - 1);
  }
  return reshape(x, shape.inserted(first, all));
}

Var insert_axis(const Var& x, int axis) {
  return record("insert_axis", {&x}, x.value().insert_axis(axis),
                [from = x.shape()](const Var& dy, Grads& grads) {
                  grads.add(0, [&] { return reshape(dy, from); });
                });
}

Var expand(const Var& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return record("expand", {&x}, x.value().expand(shape),
                [from = x.shape()](const Var& dy, Grads& grads) {
                  grads.add(0, [&] { return sum_to(dy, from); });
                });
}

Var sum_to(const Var& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  int added = x.rank() - shape.rank();
  bool fits = added >= 0;
  for (int i = 0; fits && i < shape.rank(); ++i)
    fits = shape[i] == 1 || shape[i] == x.shape()[i + added];
  if (!fits) {
    fail("sum_to", fmt::format("{} cannot be summed to {}: each size must stay or become 1, and "
                               "only axes at the front can be removed",
                               x.shape().str(), shape.str()));
  }
  std::array<int, kMaxRank> axes{};
  std::size_t count = 0;
  for (int i = 0; i < x.rank(); ++i) {
    bool stretched = i < added || (shape[i - added] == 1 && x.shape()[i] != 1);
    if (stretched) axes[count++] = i;
  }
  return reshape(sum(x, std::span<const int>(axes.data(), count), true), shape);
}

Var flip(const Var& x, int axis) {
  return record("flip", {&x}, x.value().flip(axis), [axis](const Var& dy, Grads& grads) {
    grads.add(0, [&] { return flip(dy, axis); });
  });
}

Var slice(const Var& x, int axis, std::int64_t start, std::int64_t stop, std::int64_t step) {
  return part_of("slice", x,
                 [=](const Tensor& whole) { return whole.slice(axis, start, stop, step); });
}

Var pad(const Var& x, std::span<const Margin> margins, double value) {
  Shape whole = x.shape();
  for (const auto& [axis, before, after] : margins) {
    if (before < 0 || after < 0) {
      fail("pad", fmt::format("before is {} and after {}, expected 0 or more; slice() cuts off",
                              before, after));
    }
    const int a = whole.axis(axis);
    whole[a] = plus("pad", plus("pad", before, whole[a]), after);
  }
  return place_in(value, "pad", whole, x,
                  [list = PoolVector<Margin>(margins.begin(), margins.end())](const Tensor& zeros) {
                    Tensor part = zeros;
                    for (const auto& [axis, before, after] : list) {
                      const int a = zeros.shape().axis(axis);
                      part = part.slice(a, before, part.dim(a) - after);
                    }
                    return part;
                  });
}

Var select_index(const Var& x, int axis, std::int64_t index) {
  return part_of("select_index", x, [=](const Tensor& whole) { return whole.select(axis, index); });
}

Var concat(std::span<const Var> parts, int axis) {
  if (parts.empty()) fail("concat", "no parts were given; pass at least one");
  int a = parts[0].shape().axis(axis);
  check_same_but_axis("concat", parts, a, true);
  std::int64_t total = 0;
  PoolVector<std::int64_t> sizes;
  for (const Var& part : parts) {
    sizes.push_back(part.dim(a));
    total = plus("concat", total, part.dim(a));
  }
  const detail::Operation operation("concat");
  Tensor result =
      Tensor::empty(parts[0].shape().with(a, total), parts[0].dtype(), parts[0].device());
  std::int64_t start = 0;
  for (const Var& part : parts) {
    result.slice(a, start, start + part.dim(a)).copy_from(part.value());
    start += part.dim(a);
  }
  Var y(std::move(result));
  PoolVector<const Var*> inputs = pointers(parts);
  if (Recorder::wanted("concat", inputs)) {
    Recorder::record("concat", inputs, {&y, 1},
                     [sizes = std::move(sizes), a](const Var& dy, Grads& grads) {
                       PoolVector<Var> dparts = split(dy, sizes, a);
                       for (std::size_t i = 0; i < dparts.size(); ++i)
                         grads.add(static_cast<int>(i), dparts[i]);
                     });
  }
  return y;
}

Var stack(std::span<const Var> parts, int axis) {
  if (parts.empty()) fail("stack", "no parts were given; pass at least one");
  check_same_but_axis("stack", parts, 0, false);
  Shape shape = parts[0].shape().inserted(axis, static_cast<std::int64_t>(parts.size()));
  int a = axis < 0 ? axis + shape.rank() : axis;
  const detail::Operation operation("stack");
  Tensor result = Tensor::empty(shape, parts[0].dtype(), parts[0].device());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    result.select(a, static_cast<std::int64_t>(i)).copy_from(parts[i].value());
  }
  Var y(std::move(result));
  PoolVector<const Var*> inputs = pointers(parts);
  if (Recorder::wanted("stack", inputs)) {
    Recorder::record("stack", inputs, {&y, 1}, [a](const Var& dy, Grads& grads) {
      PoolVector<Var> dparts = unstack(dy, a);
      for (std::size_t i = 0; i < dparts.size(); ++i) grads.add(static_cast<int>(i), dparts[i]);
    });
  }
  return y;
}

namespace {

// Records all parts of x as one tape entry. The backward joins their gradients;
// undefined ones are zeros.
template <class Join>
void record_parts(const char* name, const Var& x, PoolVector<Var>& parts, Join join) {
  const Var* input = &x;
  if (!Recorder::wanted(name, {&input, 1})) return;
  PoolVector<Shape> shapes;
  for (const Var& part : parts) shapes.push_back(part.shape());
  Recorder::record(name, {&input, 1}, parts,
                   [shapes = std::move(shapes), join](std::span<const Var> dys, Grads& grads) {
                     grads.add(0, [&] {
                       PoolVector<Var> filled(dys.begin(), dys.end());
                       const Var& known = *std::find_if(dys.begin(), dys.end(),
                                                        [](const Var& dy) { return dy.defined(); });
                       for (std::size_t i = 0; i < filled.size(); ++i) {
                         if (!filled[i].defined())
                           filled[i] = Var(Tensor::zeros(shapes[i], known.dtype(), known.device()));
                       }
                       return join(filled);
                     });
                   });
}

}  // namespace

PoolVector<Var> split(const Var& x, std::span<const std::int64_t> sizes, int axis) {
  int a = x.shape().axis(axis);
  std::int64_t total = 0;
  for (std::int64_t size : sizes) total = plus("split", total, size);
  if (total != x.dim(a) || sizes.empty()) {
    fail("split",
         fmt::format(
             "the sizes add up to {}, but axis {} of {} has {}; give sizes that add up to that",
             total, a, x.shape().str(), x.dim(a)));
  }
  PoolVector<Var> parts;
  parts.reserve(sizes.size());
  std::int64_t start = 0;
  for (std::int64_t size : sizes) {
    parts.push_back(Var(x.value().slice(a, start, start + size)));
    start += size;
  }
  record_parts("split", x, parts, [a](std::span<const Var> dparts) { return concat(dparts, a); });
  return parts;
}

PoolVector<Var> chunk(const Var& x, int parts, int axis) {
  std::int64_t size = x.dim(axis);
  if (parts < 1 || size % parts != 0) {
    fail("chunk",
         fmt::format("axis {} of {} cannot be cut into {} equal parts; use split with sizes", axis,
                     x.shape().str(), parts));
  }
  PoolVector<std::int64_t> sizes(static_cast<std::size_t>(parts), size / parts);
  return split(x, sizes, axis);
}

PoolVector<Var> unstack(const Var& x, int axis) {
  int a = x.shape().axis(axis);
  if (x.dim(a) == 0) return {};
  PoolVector<Var> parts;
  parts.reserve(static_cast<std::size_t>(x.dim(a)));
  for (std::int64_t i = 0; i < x.dim(a); ++i) parts.push_back(Var(x.value().select(a, i)));
  record_parts("unstack", x, parts, [a](std::span<const Var> dparts) { return stack(dparts, a); });
  return parts;
}

Var tril(const Var& x, std::int64_t diagonal) {
  if (x.rank() < 2)
    fail("tril", fmt::format("needs a matrix in the last two axes, got {}", x.shape().str()));
  Tensor mask = Tensor::zeros({x.dim(-2), x.dim(-1)}, x.dtype());
  for (std::int64_t i = 0; i < x.dim(-2); ++i) {
    std::int64_t width = std::clamp<std::int64_t>(i + diagonal + 1, 0, x.dim(-1));
    if (width > 0) mask.select(0, i).slice(0, 0, width).fill(1.0);
  }
  return select(Var(mask.to(x.device())), x, Var(Tensor::zeros({}, x.dtype(), x.device())));
}

Var to(const Var& x, Device device) {
  if (x.device() == device) return x;
  return record("to", {&x}, x.value().to(device), [from = x.device()](const Var& dy, Grads& grads) {
    grads.add(0, [&] { return to(dy, from); });
  });
}

Var to(const Var& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  // Integers have no gradient.
  if (dtype == DType::int64 || x.dtype() == DType::int64) return Var(x.value().to(dtype));
  return record("to", {&x}, x.value().to(dtype), [from = x.dtype()](const Var& dy, Grads& grads) {
    grads.add(0, [&] { return to(dy, from); });
  });
}

}  // namespace tapeloop
