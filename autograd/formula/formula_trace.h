// SPDX-License-Identifier: MIT
// Traced: a number without a value. A formula that runs on Traced numbers makes a list of its
// operations. formula.h uses this list. Functions of math.h have versions for Traced here.
#pragma once

#include <concepts>

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop {

struct Traced {
  int node;  // index in the list of operations
};
template <>
inline constexpr bool kIsNumber<Traced> = true;
struct TracedMask {
  int node;
};

namespace detail {

enum class FormulaOp : unsigned char {
  argument,
  constant,
  add,
  sub,
  mul,
  div,
  negate,
  less,
  less_equal,
  equal,
  both,
  either,
  opposite,
  select,
  max,
  min,
  clamp,
  pow,
  function  // and the numbers above: the functions of formula::Functions in order
};

inline constexpr int kFirstFunction = static_cast<int>(FormulaOp::function);
template <class Rule>
inline constexpr FormulaOp kOpOf =
    static_cast<FormulaOp>(kFirstFunction + static_cast<int>(formula::Functions::index_of<Rule>()));

// Adds an operation to the list of the calling thread and returns its index. If the list already
// has the same operation, returns the index of that one.
int trace(FormulaOp op, int a, int b = -1, int c = -1);
int trace_constant(double value);

TL_HD int traced(Traced x) { return x.node; }
template <Scalar S>
TL_HD int traced(S x) {
  return trace_constant(static_cast<double>(x));
}
template <class T>
concept IsTraced = std::same_as<T, Traced>;
template <class A, class B>
concept OneTraced = (IsTraced<A> && (IsTraced<B> || Scalar<B>)) || (Scalar<A> && IsTraced<B>);
template <class T>
concept TracedOrScalar = IsTraced<T> || Scalar<T>;

// Uses no instruction set, but is a template on Isa like all code that is compiled for one.
template <class Isa, class F>
void trace_formula(const void* functor, const int* arguments, int* results) {
  const F formula = *static_cast<const F*>(functor);
  [&]<std::size_t... I, std::size_t... O>(std::index_sequence<I...>, std::index_sequence<O...>) {
    const auto found = as_outputs(formula(Traced{arguments[I]}...));
    ((results[O] = traced(output<O>(found))), ...);
  }
  (std::make_index_sequence<static_cast<std::size_t>(kArity<F>)>{},
   std::make_index_sequence<static_cast<std::size_t>(kResultCount<F>)>{});
}

}  // namespace detail

template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced operator+(A a, B b) {
  return {detail::trace(detail::FormulaOp::add, detail::traced(a), detail::traced(b))};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced operator-(A a, B b) {
  return {detail::trace(detail::FormulaOp::sub, detail::traced(a), detail::traced(b))};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced operator*(A a, B b) {
  return {detail::trace(detail::FormulaOp::mul, detail::traced(a), detail::traced(b))};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced operator/(A a, B b) {
  return {detail::trace(detail::FormulaOp::div, detail::traced(a), detail::traced(b))};
}
template <class A, class B>  // the trace shows a plain product
requires detail::OneTraced<A, B> TL_HD Traced zero_safe_product(A a, B b) { return a * b; }
TL_HD Traced operator-(Traced x) { return {detail::trace(detail::FormulaOp::negate, x.node)}; }

// --- comparisons and choice ---
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator<(A a, B b) {
  return {detail::trace(detail::FormulaOp::less, detail::traced(a), detail::traced(b))};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator>(A a, B b) {
  return {detail::trace(detail::FormulaOp::less, detail::traced(b), detail::traced(a))};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator<=(A a, B b) {
  return {detail::trace(detail::FormulaOp::less_equal, detail::traced(a), detail::traced(b))};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator>=(A a, B b) {
  return {detail::trace(detail::FormulaOp::less_equal, detail::traced(b), detail::traced(a))};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator==(A a, B b) {
  return {detail::trace(detail::FormulaOp::equal, detail::traced(a), detail::traced(b))};
}
TL_HD TracedMask operator!(TracedMask a) {
  return {detail::trace(detail::FormulaOp::opposite, a.node)};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator!=(A a, B b) { return !(a == b); }
TL_HD TracedMask operator&(TracedMask a, TracedMask b) {
  return {detail::trace(detail::FormulaOp::both, a.node, b.node)};
}
TL_HD TracedMask operator|(TracedMask a, TracedMask b) {
  return {detail::trace(detail::FormulaOp::either, a.node, b.node)};
}
template <detail::TracedOrScalar A, detail::TracedOrScalar B>
TL_HD Traced select(TracedMask mask, A yes, B no) {
  return {
      detail::trace(detail::FormulaOp::select, mask.node, detail::traced(yes), detail::traced(no))};
}

// --- functions ---
template <class Rule>
TL_HD Traced apply_rule(Traced x) {
  return {detail::trace(detail::kOpOf<Rule>, x.node)};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced max(A a, B b) {
  return {detail::trace(detail::FormulaOp::max, detail::traced(a), detail::traced(b))};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced min(A a, B b) {
  return {detail::trace(detail::FormulaOp::min, detail::traced(a), detail::traced(b))};
}
template <detail::TracedOrScalar A, detail::TracedOrScalar B>
TL_HD Traced clamp(Traced x, A low, B high) {
  return {
      detail::trace(detail::FormulaOp::clamp, x.node, detail::traced(low), detail::traced(high))};
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced pow(A a, B b) {
  return {detail::trace(detail::FormulaOp::pow, detail::traced(a), detail::traced(b))};
}

}  // namespace tapeloop
