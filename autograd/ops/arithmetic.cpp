// SPDX-License-Identifier: MIT
// The elementwise operations: each calls pointwise() with a functor of elementwise.h.
#include "tapeloop/autograd/ops/ops.h"

#include <cmath>

namespace tapeloop {

using namespace formula;

namespace {

// True if x / divisor and x * (1 / divisor) have the same bits for every x: the divisor is a power
// of two and not near the ends of the type's range.
bool reciprocal_is_exact(double divisor, DType dtype) {
  int exponent = 0;
  const bool power_of_two = std::abs(std::frexp(divisor, &exponent)) == 0.5;
  return power_of_two && std::abs(exponent) < (dtype == DType::float32 ? 126 : 1022);
}

}  // namespace

Var add(const Var& a, const Var& b) { return pointwise(Add{}, a, b); }
Var operator+(const Var& a, const Var& b) { return pointwise(Add{}, a, b); }
Var operator-(const Var& a, const Var& b) { return pointwise(Sub{}, a, b); }
Var operator*(const Var& a, const Var& b) { return pointwise(Mul{}, a, b); }
Var operator/(const Var& a, const Var& b) { return pointwise(Div{}, a, b); }
Var operator+(const Var& a, double b) { return pointwise(Affine{1, b}, a); }
Var operator+(double a, const Var& b) { return pointwise(Affine{1, a}, b); }
Var operator-(const Var& a, double b) { return pointwise(Affine{1, -b}, a); }
Var operator-(double a, const Var& b) { return pointwise(Affine{-1, a}, b); }
Var operator*(const Var& a, double b) { return pointwise(Scale{b}, a); }
Var operator*(double a, const Var& b) { return pointwise(Scale{a}, b); }
Var operator/(const Var& a, double b) {
  return reciprocal_is_exact(b, a.dtype()) ? pointwise(Scale{1 / b}, a) : pointwise(DivBy{b}, a);
}
Var operator/(double a, const Var& b) { return pointwise(DivInto{a}, b); }
Var operator-(const Var& x) { return pointwise(Negate{}, x); }
Var pow(const Var& x, const Var& exponent) { return pointwise(Pow{}, x, exponent); }
Var pow(const Var& x, double exponent) { return pointwise(PowConstant{exponent}, x); }
Var max(const Var& a, const Var& b) { return pointwise(Max{}, a, b); }
Var min(const Var& a, const Var& b) { return pointwise(Min{}, a, b); }

Var less(const Var& a, const Var& b) { return pointwise(Less{}, a.detach(), b.detach()); }
Var equal(const Var& a, const Var& b) { return pointwise(Equal{}, a.detach(), b.detach()); }
Var select(const Var& mask, const Var& a, const Var& b) {
  return pointwise(Select{}, mask.detach(), a, b);
}

void add_in_place(const Tensor& sum, const Tensor& addend) {
  if (addend.shape() == sum.shape()) {
    transform(Add{}, {sum, addend}, {sum});
  } else {
    transform(Add{}, {sum, addend.expand(sum.shape())}, {sum});
  }
}

}  // namespace tapeloop
