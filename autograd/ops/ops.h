// SPDX-License-Identifier: MIT
// The operations on Vars. This table lists them; tests/ops/op_table.h has rows for
// each. Nothing here says CPU or CUDA. Axes may be negative. Every gradient can be differentiated
// again. In gradients an exact zero ends the chain rule: 0 times infinity or NaN is 0 there. In
// values it is NaN, as in IEEE 754. The gradient of x / b by x is dy * (1 / b), with 1 / b rounded:
// its last bit may differ from that of dy / b.
//
//   operation              shapes                              gradient                  saves
//   ---- pointwise: operands broadcast; formulas and derivatives: elementwise.h -------------------
//   + - * /  pow max min   a, b -> broadcast(a, b)             by dual numbers           inputs
//   exp log log1p sqrt square abs sin cos atan erf clamp       by dual numbers           inputs
//   tanh sigmoid softplus relu leaky_relu elu gelu silu        by dual numbers           inputs
//   softsign                                                   by dual numbers           inputs
//   select(mask, a, b)     a where mask != 0, else b           by dual numbers           inputs
//   less equal sign argmax                                     no gradient
//   ---- shape ------------------------------------------------------------------------------------
//   reshape transpose permute expand sum_to insert_axis flip   the inverse movement      -
//   flatten                                                    the inverse movement      -
//   slice select_index     a part                              adds to that part         -
//   concat stack           parts -> whole                      slices of dy              -
//   pad                    a number around a part              the part of dy            -
//   chunk split unstack    whole -> parts                      concat, stack of dys      -
//   tril                   lower triangle of [.., M, N]        lower triangle of dy      -
//   ---- reductions over any axes -----------------------------------------------------------------
//   sum mean               [..] -> axes removed, or 1 if keep  dy spread                 -
//   max min (over axes)    ties share the gradient             dy where x = y            x, y
//   prod                   along one axis                      products of the rest      factors
//   cumsum                 along one axis                      reversed sum              -
//   var                    divides by n - correction           composition               x
//   norm                   over all elements                   composition               x
//   logsumexp                                                  dy e^(x - y)              x, y
//   ---- rows of logits ---------------------------------------------------------------------------
//   softmax                along one axis                      y (dy - sum(y dy))        y
//   log_softmax            along one axis                      dy - e^y sum(dy)          y
//   ---- products ---------------------------------------------------------------------------------
//   matmul(a, b)           [.., M, K] [.., K, N] -> [.., M, N] dA = dC B^T, dB = A^T dC  a, b
//   linear(x, w, b)        [.., I] [O, I] [..O] -> [.., O]     dx = dy w, dw = dy^T x,   x, w
//                                                              db = sum dy
//   linear_each(x, w)      [T, N, I] [N, O, I] -> [T, N, O]    as linear, for each n     x, w
//   conv1d conv2d          convolution.h                       correlations              x, w
//   linear_scan(a, b, h0)  a, b [T, N, H], h0 [N, H], scan.h  a scan the other way      a, h
//   recurrent(F, zx, w_hh, state): many steps, see recurrent.h F: dual numbers; products z, states
//   ---- indices (int64) --------------------------------------------------------------------------
//   embedding(w, index)    [V, E] [..] -> [.., E]              rows of dy added up       index
//   take(x, index, axis)   rows of one axis by index           added up                  index
//   add_rows(x, index, n)  [M, ..] -> [n, ..]                  rows of dy by index       index
//   gather(x, index, axis) elements of one axis by index       added up                  index
//   ---- pooling: pooling.h ----------------------------------------------------------------------
//   max_pool1d max_pool2d avg_pool1d avg_pool2d                composition               parts
//   adaptive_max_pool1d adaptive_max_pool2d                    composition               parts
//   adaptive_avg_pool1d adaptive_avg_pool2d                    composition               parts
//   ---- losses: losses.h;  dropout, layer_norm: below --------------------------------------------
#pragma once

#include <array>
#include <initializer_list>
#include <span>
#include <vector>

#include "tapeloop/autograd/formula/elementwise.h"
#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/tape/tape.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

// --- arithmetic; a double operand is converted to the Var's element type ---
Var add(const Var& a, const Var& b);
Var operator+(const Var& a, const Var& b);
Var operator-(const Var& a, const Var& b);
Var operator*(const Var& a, const Var& b);
Var operator/(const Var& a, const Var& b);
Var operator+(const Var& a, double b);
Var operator+(double a, const Var& b);
Var operator-(const Var& a, double b);
Var operator-(double a, const Var& b);
Var operator*(const Var& a, double b);
Var operator*(double a, const Var& b);
Var operator/(const Var& a, double b);
Var operator/(double a, const Var& b);
Var operator-(const Var& x);
Var pow(const Var& x, const Var& exponent);
Var pow(const Var& x, double exponent);
Var max(const Var& a, const Var& b);  // elementwise; at a tie each gets half of the gradient
Var min(const Var& a, const Var& b);

// --- elementwise functions: rules in number/functions.h, formulas in formula/elementwise.h ---
inline Var exp(const Var& x) { return detail::elementwise(formula::Exp{}, x); }
inline Var log(const Var& x) { return detail::elementwise(formula::Log{}, x); }
inline Var log1p(const Var& x) { return detail::elementwise(formula::Log1p{}, x); }
inline Var sqrt(const Var& x) { return detail::elementwise(formula::Sqrt{}, x); }
inline Var square(const Var& x) { return detail::elementwise(formula::Square{}, x); }
inline Var abs(const Var& x) { return detail::elementwise(formula::Abs{}, x); }
inline Var sin(const Var& x) { return detail::elementwise(formula::Sin{}, x); }
inline Var cos(const Var& x) { return detail::elementwise(formula::Cos{}, x); }
inline Var atan(const Var& x) { return detail::elementwise(formula::Atan{}, x); }
inline Var erf(const Var& x) { return detail::elementwise(formula::Erf{}, x); }
inline Var tanh(const Var& x) { return detail::elementwise(formula::Tanh{}, x); }
inline Var sigmoid(const Var& x) { return detail::elementwise(formula::Sigmoid{}, x); }
inline Var softplus(const Var& x) { return detail::elementwise(formula::Softplus{}, x); }
inline Var relu(const Var& x) { return detail::elementwise(formula::Relu{}, x); }
inline Var leaky_relu(const Var& x, double slope = 0.01) {
  return detail::elementwise(formula::LeakyRelu{slope}, x);
}
inline Var elu(const Var& x, double alpha = 1.0) {
  return detail::elementwise(formula::Elu{alpha}, x);
}
inline Var gelu(const Var& x) { return detail::elementwise(formula::Gelu{}, x); }
inline Var silu(const Var& x) { return detail::elementwise(formula::Silu{}, x); }
inline Var softsign(const Var& x) { return detail::elementwise(formula::Softsign{}, x); }
inline Var clamp(const Var& x, double low, double high) {
  return detail::elementwise(formula::Clamp{low, high}, x);
}
inline Var sign(const Var& x) {
  return detail::elementwise(formula::Sign{}, x.detach());
}  // no gradient
Var less(const Var& a, const Var& b);   // 1 where a < b, else 0; no gradient
Var equal(const Var& a, const Var& b);  // 1 where a = b, else 0; no gradient
// a where mask is not 0, else b. The mask is a tensor of the same type and gets no gradient.
Var select(const Var& mask, const Var& a, const Var& b);

// --- shape: views where strides allow, no arithmetic ---
// One size may be -1: it is calculated from the others.
Var reshape(const Var& x, std::initializer_list<std::int64_t> sizes);
Var reshape(const Var& x, const Shape& shape);
Var transpose(const Var& x, int axis_a = -2, int axis_b = -1);  // the two axes change places
// Axis i of the result is axis axes[i] of x.
Var permute(const Var& x, std::span<const int> axes);
inline Var permute(const Var& x, std::initializer_list<int> axes) {
  return permute(x, std::span<const int>(axes.begin(), axes.size()));
}
// Axes first, first + 1, ... as one: [N, C, H, W] -> [N, C H W] for 1.
Var flatten(const Var& x, int first = 1);
Var insert_axis(const Var& x, int axis);       // [.., 1, ..]
Var expand(const Var& x, const Shape& shape);  // sizes 1 stretched, new axes in front
Var sum_to(const Var& x, const Shape& shape);  // the adjoint of expand; x itself where shapes agree
Var flip(const Var& x, int axis);              // the axis in reverse order
// Indices start, start + step, ... below stop of the axis.
Var slice(const Var& x, int axis, std::int64_t start, std::int64_t stop, std::int64_t step = 1);
Var select_index(const Var& x, int axis, std::int64_t index);  // x[.., index, ..], the axis gone
// What stands around a part along an axis.
struct Margin {
  int axis;                    // of the whole
  std::int64_t before, after;  // numbers of elements
};
// x with `value` around it, along each of the given axes.
Var pad(const Var& x, std::span<const Margin> margins, double value = 0);
inline Var pad(const Var& x, std::initializer_list<Margin> margins, double value = 0) {
  return pad(x, std::span<const Margin>(margins.begin(), margins.size()), value);
}
// Joins the parts one behind the other along an axis.
Var concat(std::span<const Var> parts, int axis);
inline Var concat(std::initializer_list<Var> parts, int axis) {
  return concat(std::span<const Var>(parts.begin(), parts.size()), axis);
}
// Joins parts of one shape along a new axis.
Var stack(std::span<const Var> parts, int axis = 0);
inline Var stack(std::initializer_list<Var> parts, int axis = 0) {
  return stack(std::span<const Var>(parts.begin(), parts.size()), axis);
}
// split: parts of the given sizes; chunk: equal parts; unstack: single indices, without the
// axis. Each makes one tape entry, whose backward joins the parts' gradients in one operation.
// Use them to loop over time steps.
PoolVector<Var> split(const Var& x, std::span<const std::int64_t> sizes, int axis);
PoolVector<Var> chunk(const Var& x, int parts, int axis);
PoolVector<Var> unstack(const Var& x, int axis = 0);
Var tril(const Var& x, std::int64_t diagonal = 0);  // zero above the diagonal of the last two axes
Var to(const Var& x, DType dtype);    // float32 <-> float64; the gradient is converted back
Var to(const Var& x, Device device);  // a copy on another device; the gradient is copied back

// --- reductions over the given axes, or all; reduced axes are removed, or get size 1 if keep ---
// A float32 sum of n numbers is added up in blocks, and the sums of the blocks pairwise. The order
// depends on the shape alone.
//   |sum - exact| <= (512 + log2(n)) 2^-24 sum|x|     usually some 2^-24 sum|x|
// On a GPU, and in cumsum, the sum is float64 and is rounded once. max and min are
// NaN if an element is NaN.
Var sum(const Var& x);
Var sum(const Var& x, std::span<const int> axes, bool keep = false);
// sum / number of elements
Var mean(const Var& x);
Var mean(const Var& x, std::span<const int> axes, bool keep = false);
// The largest element; ties share the gradient.
Var max(const Var& x, std::span<const int> axes, bool keep = false);
// The smallest element; ties share the gradient.
Var min(const Var& x, std::span<const int> axes, bool keep = false);
// log(sum(exp(x))), without overflow.
Var logsumexp(const Var& x, std::span<const int> axes, bool keep = false);
// sum((x - mean)^2) / (n - correction); exactly 0 if all numbers are equal
Var var(const Var& x, std::span<const int> axes, int correction = 1, bool keep = false);
Var prod(const Var& x, int axis, bool keep = false);  // the product
Var cumsum(const Var& x, int axis);                   // sums of the elements up to each one
Var norm(const Var& x);                               // sqrt(sum(x^2)) over all elements
using Axes = std::initializer_list<int>;              // sum(x, {0, 1})
// --- the same reductions, with the axes as a list ---
inline std::span<const int> as_span(const Axes& axes) { return {axes.begin(), axes.size()}; }
inline Var sum(const Var& x, Axes axes, bool keep = false) { return sum(x, as_span(axes), keep); }
inline Var mean(const Var& x, Axes axes, bool keep = false) { return mean(x, as_span(axes), keep); }
inline Var max(const Var& x, Axes axes, bool keep = false) { return max(x, as_span(axes), keep); }
inline Var min(const Var& x, Axes axes, bool keep = false) { return min(x, as_span(axes), keep); }
inline Var logsumexp(const Var& x, Axes axes, bool keep = false) {
  return logsumexp(x, as_span(axes), keep);
}
inline Var var(const Var& x, Axes axes, int correction = 1, bool keep = false) {
  return var(x, as_span(axes), correction, keep);
}
// [..., N] -> [...] int64: index of the largest element along the last axis, the first of several
// equal ones. NaN counts as larger than any number, as in max(): the first NaN is chosen.
Tensor argmax(const Tensor& x);
namespace detail {
// x minus its first element along the axes; that element counts as a constant. For formulas that
// depend only on differences between elements.
Var from_first(const Var& x, std::span<const int> axes);
}  // namespace detail

// --- rows of logits ---
Var softmax(const Var& x, int axis = -1);
Var log_softmax(const Var& x, int axis = -1);
namespace detail {
// row_shift: the largest element of each row, clamped to finite numbers; no gradient.
// logsumexp_above: log sum exp(x - shift) over the axes, which keep size 1. Differences of large
// logits from the shift are exact; logsumexp would round them at the size of the logits.
Var row_shift(const Var& x, std::span<const int> axes);
Var logsumexp_above(const Var& x, const Var& shift, std::span<const int> axes);
}  // namespace detail

// --- products ---
// The last two axes are matrices, the others broadcast. A vector [K] is a row on the
// left, a column on the right.
Var matmul(const Var& a, const Var& b);
// x w^T + b: x [..., I], w [O, I], b broadcasts to [..., O] (a bias [O], or a full addend); b may
// be undefined. The contributions of several calls to dw are calculated in one product.
Var linear(const Var& x, const Var& w, const Var& b = Var());

// One matrix for each sequence of the batch: y[n] = w[n] x[n]; x [N, I] or [T, N, I], w
// [N, O, I] -> [N, O] or [T, N, O]. The contributions of several calls to dw are calculated in
// one product for each n. So attention, which reads its source at every time step, calculates
// the source's gradient once.
Var linear_each(const Var& x, const Var& w);

// --- indices; an index out of range throws, with the value and its position ---
Var embedding(const Var& w, const Tensor& index);       // rows of w [V, E]: index [...] -> [..., E]
Var take(const Var& x, const Tensor& index, int axis);  // index [n] along one axis
// Row i of x [n, ..] is added to row index[i] of zeros [rows, ..]: the adjoint of take.
Var add_rows(const Var& x, const Tensor& index, std::int64_t rows);
Var gather(const Var& x, const Tensor& index, int axis);  // index: x's shape except along axis

// --- formulas of layers ---
// Zeroes each element with probability p, in steps of 2^-24, and divides the others by 1 - p. Needs
// 0 <= p < 1. Srivastava et al. 2014
Var dropout(const Var& x, double p, Random& random);
// (x - mean) / sqrt(var + epsilon) * weight + bias over the last axis,
// biased variance. Ba et al. 2016
Var layer_norm(const Var& x, const Var& weight, const Var& bias, double epsilon = 1e-5);

// --- tensors, no tape ---
// Numbers in [low, high): one of 2^24 equally likely values; `low` if low = high. Numbers rounded
// to float32 stay in the range. Throws unless low <= high, both lie in the range of the type, and
// the type has a number in [low, high).
Tensor random_uniform(const Shape& shape, double low, double high, Random& random,
                      DType dtype = DType::float32);
// Normal numbers N(mean, deviation^2): at most 6.764 deviations from the mean, always finite.
// Throws if the deviation is negative or the type cannot hold such numbers.
Tensor random_normal(const Shape& shape, double mean, double deviation, Random& random,
                     DType dtype = DType::float32);
namespace detail {
// dw [O, I] += dy^T x for dy [.., O], x [.., I]. One product adds all terms of the same weight.
void defer_weight_gradient(Grads& grads, int input, const Var& dy, const Var& x);
// db [O] += the sum of all rows of dy [.., O].
void defer_bias_gradient(Grads& grads, int input, const Var& dy);
}  // namespace detail
void add_in_place(const Tensor& sum, const Tensor& addend);  // sum += addend, which broadcasts

}  // namespace tapeloop
