// SPDX-License-Identifier: MIT
// Operations with one matrix for each sequence of a batch, used at many time steps: the gradient of
// the matrices is one product over all steps. For shared weights see linear() in matmul.cpp.
//   y = W_n x          dx = W_n^T dy,  dW_n = sum over steps of dy x^T
#include <fmt/format.h>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

namespace {

// Reshapes [N, I] or [T, N, I] to [T, N, I].
Tensor with_steps(const Tensor& x) { return x.rank() == 2 ? x.insert_axis(0) : x; }
Var with_steps(const Var& x) { return x.rank() == 2 ? insert_axis(x, 0) : x; }

// dw [N, O, I] += the sum of dy^T x over all calls, as one product for each n.
void gradient_of_each(std::span<const detail::Deferred> calls, Tensor& dw) {
  const bool accumulate = dw.defined();
  PoolVector<Product> products;
  products.reserve(calls.size());
  for (const detail::Deferred& call : calls) {
    const int to_columns[] = {1, 2, 0}, to_rows[] = {1, 0, 2};
    products.push_back({with_steps(call.a.value()).permute(to_columns),
                        with_steps(call.b.value()).permute(to_rows)});
  }
  const Tensor& a = products[0].a;
  if (!accumulate) {
    dw = Tensor::empty({a.dim(0), a.dim(1), products[0].b.dim(2)}, a.dtype(), a.device());
  }
  backend(a.device()).matmul(dw, products, accumulate);
}

}  // namespace

Var linear_each(const Var& x, const Var& w) {
  if (x.dtype() != w.dtype() || x.dtype() == DType::int64 || x.device() != w.device()) {
    fail("linear_each",
         fmt::format("operands must be of one floating-point type on one device, got {} and {}; "
                     "convert one by to(x, dtype) or copy it by to(x, device)",
                     x.value().describe(), w.value().describe()));
  }
  if (w.rank() != 3 || (x.rank() != 2 && x.rank() != 3) || x.dim(-2) != w.dim(0) ||
      x.dim(-1) != w.dim(2)) {
    fail("linear_each",
         fmt::format("x is {}, w is {}: expected x [N, I] or [T, N, I] and w [N, O, I]",
                     x.shape().str(), w.shape().str()));
  }
  const Tensor steps = with_steps(x.value());
  const int swap[] = {1, 0, 2};
  const detail::Operation operation("linear_each");
  Tensor y = Tensor::empty({w.dim(0), steps.dim(0), w.dim(1)}, x.dtype(), x.device());
  const Product product[] = {{steps.permute(swap), w.value().transpose(1, 2)}};
  backend(x.device()).matmul(y, product, false);
  Tensor result = x.rank() == 2 ? y.select(1, 0) : y.permute(swap);
  return record("linear_each", {&x, &w}, std::move(result), [&] {
    return [x = keep_if(w, x, 0), w = keep_if(x, w, 1)](const Var& dy, Grads& grads) {
      grads.add(0, [&] { return linear_each(dy, transpose(w)); });
      if (!grads.recording()) return grads.defer(1, dy, x, &gradient_of_each);
      grads.add(1, [&] {
        return matmul(permute(with_steps(dy), {1, 2, 0}), permute(with_steps(x), {1, 0, 2}));
      });
    };
  });
}

}  // namespace tapeloop
