// SPDX-License-Identifier: MIT
// Traced: a number without a value. A formula that runs on Traced numbers adds its operations to
// their list. ops/formula.h uses this list. Functions of math.h have versions for Traced here.
#pragma once

#include <concepts>

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop {

namespace detail {
struct FormulaTrace;  // the list of operations
}

struct Traced {
  detail::FormulaTrace* list;
  int node;  // index in the list
};
template <>
inline constexpr bool kIsNumber<Traced> = true;
struct TracedMask {
  detail::FormulaTrace* list;
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

// Adds an operation to the list and returns its index. If the list already has the same operation,
// returns the index of that one. `a`, `b`, `c`: indices of the operands, -1 for none.
int add_to_trace(FormulaTrace& list, FormulaOp op, int a, int b, int c);
int add_constant_to_trace(FormulaTrace& list, double value);
void add_result_to_trace(FormulaTrace& list, int node);

template <class First, class... Rest>
TL_HD FormulaTrace& list_of(First first, Rest... rest) {  // of the first operand that is traced
  if constexpr (Scalar<First>) {
    return list_of(rest...);
  } else {
    return *first.list;
  }
}
template <class X>
TL_HD int node_of(FormulaTrace& list, X x) {
  if constexpr (Scalar<X>) {
    return add_constant_to_trace(list, static_cast<double>(x));
  } else {
    return x.node;
  }
}
// The result of an operation with up to three operands, Traced, TracedMask or scalars.
template <class Result = Traced, class... X>
TL_HD Result traced(FormulaOp op, X... x) {
  FormulaTrace& list = list_of(x...);
  const int nodes[] = {node_of(list, x)..., -1, -1};
  return {&list, add_to_trace(list, op, nodes[0], nodes[1], nodes[2])};
}
template <class T>
concept IsTraced = std::same_as<T, Traced>;
template <class A, class B>
concept OneTraced = (IsTraced<A> && (IsTraced<B> || Scalar<B>)) || (Scalar<A> && IsTraced<B>);
template <class T>
concept TracedOrScalar = IsTraced<T> || Scalar<T>;

// Uses no instruction set, but is a template on Isa like all code that is compiled for one.
template <class Isa, class F>
void trace_formula(const void* functor, FormulaTrace& list) {
  const F formula = *static_cast<const F*>(functor);
  [&]<std::size_t... I, std::size_t... O>(std::index_sequence<I...>, std::index_sequence<O...>) {
    const auto found = as_outputs(formula(Traced{&list, static_cast<int>(I)}...));
    (add_result_to_trace(list, node_of(list, output<O>(found))), ...);
  }
  (std::make_index_sequence<static_cast<std::size_t>(kArity<F>)>{},
   std::make_index_sequence<static_cast<std::size_t>(kResultCount<F>)>{});
}

}  // namespace detail

template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced operator+(A a, B b) {
  return detail::traced(detail::FormulaOp::add, a, b);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced operator-(A a, B b) {
  return detail::traced(detail::FormulaOp::sub, a, b);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced operator*(A a, B b) {
  return detail::traced(detail::FormulaOp::mul, a, b);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced operator/(A a, B b) {
  return detail::traced(detail::FormulaOp::div, a, b);
}
template <class A, class B>  // the trace shows a plain product
requires detail::OneTraced<A, B> TL_HD Traced zero_safe_product(A a, B b) { return a * b; }
TL_HD Traced operator-(Traced x) { return detail::traced(detail::FormulaOp::negate, x); }

// --- comparisons and choice ---
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator<(A a, B b) {
  return detail::traced<TracedMask>(detail::FormulaOp::less, a, b);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator>(A a, B b) {
  return detail::traced<TracedMask>(detail::FormulaOp::less, b, a);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator<=(A a, B b) {
  return detail::traced<TracedMask>(detail::FormulaOp::less_equal, a, b);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator>=(A a, B b) {
  return detail::traced<TracedMask>(detail::FormulaOp::less_equal, b, a);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator==(A a, B b) {
  return detail::traced<TracedMask>(detail::FormulaOp::equal, a, b);
}
TL_HD TracedMask operator!(TracedMask a) {
  return detail::traced<TracedMask>(detail::FormulaOp::opposite, a);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD TracedMask operator!=(A a, B b) { return !(a == b); }
TL_HD TracedMask operator&(TracedMask a, TracedMask b) {
  return detail::traced<TracedMask>(detail::FormulaOp::both, a, b);
}
TL_HD TracedMask operator|(TracedMask a, TracedMask b) {
  return detail::traced<TracedMask>(detail::FormulaOp::either, a, b);
}
template <detail::TracedOrScalar A, detail::TracedOrScalar B>
TL_HD Traced select(TracedMask mask, A yes, B no) {
  return detail::traced(detail::FormulaOp::select, mask, yes, no);
}

// --- functions ---
template <class Rule>
TL_HD Traced apply_rule(Traced x) {
  return detail::traced(detail::kOpOf<Rule>, x);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced max(A a, B b) {
  return detail::traced(detail::FormulaOp::max, a, b);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced min(A a, B b) {
  return detail::traced(detail::FormulaOp::min, a, b);
}
template <detail::TracedOrScalar A, detail::TracedOrScalar B>
TL_HD Traced clamp(Traced x, A low, B high) {
  return detail::traced(detail::FormulaOp::clamp, x, low, high);
}
template <class A, class B>
requires detail::OneTraced<A, B> TL_HD Traced pow(A a, B b) {
  return detail::traced(detail::FormulaOp::pow, a, b);
}

}  // namespace tapeloop
