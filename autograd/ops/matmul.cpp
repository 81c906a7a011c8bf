// SPDX-License-Identifier: MIT
// Matrix products and the affine map of a layer. The weight gradients of
// many calls are one product.
//   C = A B            dA = dC B^T,  dB = A^T dC            cost 2 M N K flops, twice that backward
//   y = x w^T + b      dx = dy w,    dw = dy^T x, db = sum dy
#include <fmt/format.h>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

namespace {

void check_matrices(const char* name, const Var& a, const Var& b) {
  if (a.dtype() != b.dtype() || a.dtype() == DType::int64 || a.device() != b.device()) {
    fail(name, fmt::format("operands must be of one floating-point type on one device, got {} and "
                           "{}; convert one by to(x, dtype) or copy it by to(x, device)",
                           a.value().describe(), b.value().describe()));
  }
}

// x as [batch, rows, columns]: the leading axes are expanded to `lead` and merged.
Tensor as_batch(const Tensor& x, const Shape& lead) {
  Shape full = lead;
  full = full.inserted(full.rank(), x.dim(-2));
  full = full.inserted(full.rank(), x.dim(-1));
  return x.expand(full).reshape(Shape{lead.numel(), x.dim(-2), x.dim(-1)});
}

Shape leading(const Shape& shape) { return shape.removed(-1).removed(-1); }

// Matrices [.., M, K] [.., K, N] of rank 2 or more.
Var matrix_product(const Var& a, const Var& b) {
  Shape lead = broadcast("matmul", leading(a.shape()), leading(b.shape()));
  std::int64_t m = a.dim(-2);
  std::int64_t n = b.dim(-1);
  const detail::Operation operation("matmul");
  Tensor c = Tensor::empty({lead.numel(), m, n}, a.dtype(), a.device());
  const Product product[] = {{as_batch(a.value(), lead), as_batch(b.value(), lead)}};
  backend(a.device()).matmul(c, product, false);
  Shape shape = lead;
  shape = shape.inserted(shape.rank(), m);
  shape = shape.inserted(shape.rank(), n);
  return record("matmul", {&a, &b}, c.reshape(shape), [&] {
    return [a = keep_if(b, a, 0), b = keep_if(a, b, 1), a_shape = a.shape(), b_shape = b.shape()](
               const Var& dc, Grads& grads) {
      grads.add(0, [&] { return sum_to(matrix_product(dc, transpose(b)), a_shape); });
      grads.add(1, [&] { return sum_to(matrix_product(transpose(a), dc), b_shape); });
    };
  });
}

// The bias as [rows, O]; a view without a copy if it is the same in every row.
Tensor rows_of(const Tensor& bias, const Shape& shape, std::int64_t rows) {
  const Shape flat{rows, shape.dim(-1)};
  if (bias.rank() == 0 || bias.numel() == bias.dim(-1)) {
    return bias.reshape(Shape{bias.rank() == 0 ? 1 : bias.dim(-1)}).expand(flat);
  }
  return bias.expand(shape).reshape(flat);
}

// Calls visit(first, last) for blocks of a call's first axis (time steps, or 1). A block has at
// least gradient_rows() batch rows together; only the block at step 0 may be shorter. Blocks go
// from the last step to the first, the order in which a backward pass of single steps reaches them.
template <class Visit>
void by_blocks(const Tensor& call, Visit visit) {
  if (call.numel() == 0) return;
  const std::int64_t group = backend(call.device()).gradient_rows();
  const std::int64_t steps = (group + call.dim(1) - 1) / call.dim(1);
  for (std::int64_t last = call.dim(0); last > 0; last -= steps) {
    visit(std::max<std::int64_t>(0, last - steps), last);
  }
}

Tensor rows(const Tensor& call, std::int64_t first, std::int64_t last) {
  return call.slice(0, first, last).reshape(Shape{(last - first) * call.dim(1), call.dim(2)});
}

// dw [O, I] += the sum of dy^T x over calls, for dy [A, B, O] and x [A, B, I]:
// one product over all rows.
void weight_gradient(std::span<const detail::Deferred> calls, Tensor& dw) {
  const Tensor& dy0 = calls[0].a.value();
  const bool accumulate = dw.defined();
  if (!accumulate) {
    dw = Tensor::empty({dy0.dim(-1), calls[0].b.dim(-1)}, dy0.dtype(), dy0.device());
  }
  PoolVector<Product> products;
  products.reserve(calls.size());
  for (const detail::Deferred& call : calls) {
    by_blocks(call.a.value(), [&](std::int64_t first, std::int64_t last) {
      products.push_back({rows(call.a.value(), first, last).transpose(0, 1).insert_axis(0),
                          rows(call.b.value(), first, last).insert_axis(0)});
    });
  }
  backend(dy0.device()).matmul(dw.insert_axis(0), products, accumulate);
}

// db [O] += the sum of all rows of all calls' dy.
void bias_gradient(std::span<const detail::Deferred> calls, Tensor& db) {
  const Tensor& dy0 = calls[0].a.value();
  if (!db.defined()) db = Tensor::zeros({dy0.dim(-1)}, dy0.dtype(), dy0.device());
  const Tensor part = Tensor::empty({1, dy0.dim(-1)}, dy0.dtype(), dy0.device());
  for (const detail::Deferred& call : calls) {
    by_blocks(call.a.value(), [&](std::int64_t first, std::int64_t last) {
      backend(dy0.device()).reduce(Reduction::sum, part, rows(call.a.value(), first, last));
      add_in_place(db, part.select(0, 0));
    });
  }
}

Var flat_rows(const Var& x) { return reshape(x, Shape{x.shape().removed(-1).numel(), x.dim(-1)}); }

// [.., width] as [A, B, width]. A is the first axis (time steps) if x has
// more than two axes, else 1.
Var as_steps(const Var& x) {
  const std::int64_t a = x.rank() > 2 ? x.dim(0) : 1;
  const std::int64_t width = x.dim(-1);
  const std::int64_t all = x.shape().removed(-1).numel();
  return reshape(x, Shape{a, a == 0 ? 0 : all / a, width});
}

}  // namespace

void detail::defer_weight_gradient(Grads& grads, int input, const Var& dy, const Var& x) {
  grads.defer(input, as_steps(dy), as_steps(x), &weight_gradient);
}
void detail::defer_bias_gradient(Grads& grads, int input, const Var& dy) {
  grads.defer(input, as_steps(dy), Var(), &bias_gradient);
}

Var matmul(const Var& a, const Var& b) {
  check_matrices("matmul", a, b);
  if (a.rank() == 0 || b.rank() == 0 || a.dim(-1) != b.dim(b.rank() == 1 ? 0 : -2)) {
    fail("matmul",
         fmt::format("inner dimensions must match: a is {}, b is {}{}", a.shape().str(),
                     b.shape().str(),
                     a.rank() == 0 || b.rank() == 0
                         ? "; multiply by a number with *"
                         : fmt::format(" ({} vs {})", a.dim(-1), b.dim(b.rank() == 1 ? 0 : -2))));
  }
  Var row = a.rank() == 1 ? insert_axis(a, 0) : a;
  Var column = b.rank() == 1 ? insert_axis(b, 1) : b;
  Var c = matrix_product(row, column);
  if (a.rank() > 1 && b.rank() > 1) return c;
  Shape shape = c.shape();
  if (b.rank() == 1) shape = shape.removed(-1);
  if (a.rank() == 1) shape = shape.removed(b.rank() == 1 ? -1 : -2);
  return reshape(c, shape);
}

Var linear(const Var& x, const Var& w, const Var& b) {
  check_matrices("linear", x, w);
  if (w.rank() != 2 || x.rank() < 1 || x.dim(-1) != w.dim(1)) {
    fail("linear",
         fmt::format("x is {}, w is {}: w must be [out, in] and the last axis of x must be in{}",
                     x.shape().str(), w.shape().str(),
                     w.rank() == 2 ? fmt::format(" = {}", w.dim(1)) : ""));
  }
  Shape shape = x.shape().with(-1, w.dim(0));
  std::int64_t rows = shape.numel() / std::max<std::int64_t>(1, w.dim(0));
  if (w.dim(0) == 0) rows = x.shape().removed(-1).numel();
  const detail::Operation operation("linear");
  Tensor y = Tensor::empty({rows, w.dim(0)}, x.dtype(), x.device());
  Tensor init;
  if (b.defined()) {
    check_matrices("linear", x, b);
    if (broadcast("linear", b.shape(), shape) != shape) {
      fail("linear", fmt::format("the bias is {}, which does not broadcast to the result {}; "
                                 "expected [{}]",
                                 b.shape().str(), shape.str(), w.dim(0)));
    }
    init = rows_of(b.value(), shape, rows);
  }
  backend(x.device()).linear(y, x.value().reshape(Shape{rows, x.dim(-1)}), w.value(), init);
  return record("linear", {&x, &w, &b}, y.reshape(shape), [&] {
    return [x = keep_if(w, x, 0), w = keep_if(x, w, 1),
            b_shape = b.defined() ? b.shape() : Shape{}](const Var& dy, Grads& grads) {
      grads.add(0, [&] {
        // dy w, written as dy (w^T)^T
        return linear(dy, transpose(w));
      });
      if (grads.recording()) {
        grads.add(1, [&] { return matmul(transpose(flat_rows(dy)), flat_rows(x)); });
        grads.add(2, [&] { return sum_to(dy, b_shape); });
        return;
      }
      if (grads.needs(1)) detail::defer_weight_gradient(grads, 1, dy, x);
      if (b_shape == Shape{dy.dim(-1)}) {
        if (grads.needs(2)) detail::defer_bias_gradient(grads, 2, dy);
      } else {
        grads.add(2, [&] { return sum_to(dy, b_shape); });
      }
    };
  });
}

}  // namespace tapeloop
