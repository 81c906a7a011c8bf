// SPDX-License-Identifier: MIT
// PointwiseKernel: function pointers for one functor, and the kernel of its gradient. Also
// Backward<F>, the functor that computes F's exact gradient, and pages of functors that are
// compiled in the library.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "tapeloop/autograd/number/dual_functions.h"
#include "tapeloop/autograd/tensor/shape.h"

namespace tapeloop {

inline constexpr int kMaxOperands = 40;              // of one kernel: inputs and outputs
inline constexpr std::size_t kMaxFunctorBytes = 64;  // settings of one functor
inline constexpr int kMaxItemOperands = 10;          // of a PointwiseItem

// The elements that a kernel visits: the first element of each operand, and its strides along each
// axis. Inputs come first, then outputs. An output with data == nullptr is not wanted.
struct LoopPlan {
  struct Operand {
    char* data;
    std::int64_t strides[kMaxRank];  // in elements
  };
  int rank;  // at least 1
  std::int64_t sizes[kMaxRank];
  Operand operands[kMaxOperands];
  std::uint64_t overwritten = 0;  // bit k: input k is also an output; see overwritten_inputs()

  std::int64_t rows() const {  // number of rows along the last axis
    std::int64_t count = 1;
    for (int i = 0; i + 1 < rank; ++i) count *= sizes[i];
    return count;
  }
};

// Identifies the type of a functor by the address of this object, in every part of a program.
// Devices other than the CPU find their kernels by it.
struct FunctorId {
  const char* type;  // a text of the compiler that contains the type's name
  // Registers the functor's page of kernels for CUDA; null if no page contains the functor.
  void (*register_cuda)();
};

// One of many runs of a kernel: its settings, and its operands of `count` contiguous elements each.
struct PointwiseItem {
  const void* functor;
  std::int64_t count;
  void* data[kMaxItemOperands];  // inputs, then outputs
  unsigned repeated;             // bit k: operand k has one element, which is used `count` times
  // Operands of any strides; the fields above then hold only the functor. Null: contiguous.
  const LoopPlan* strided = nullptr;
};

namespace detail {
struct Arithmetic;    // compiled_arithmetic.h
struct FormulaTrace;  // ops/formula.h

// The settings of a functor as bytes, without its type.
struct FormulaBytes {
  alignas(16) std::byte bytes[kMaxFunctorBytes];
  FormulaBytes() = default;
  template <class F>
  explicit FormulaBytes(const F& functor) {
    static_assert(std::is_trivially_copyable_v<F> && sizeof(F) <= kMaxFunctorBytes,
                  "a functor holds a few plain settings by value; no pointers, strings or "
                  "containers");
    if constexpr (std::is_empty_v<F>) {
      bytes[0] = {};  // the one byte of an empty class holds no setting
    } else {
      std::memcpy(bytes, &functor, sizeof(F));
    }
  }
};
}  // namespace detail

struct PointwiseKernel {
  const char* name;
  int inputs;
  int outputs;
  std::size_t functor_bytes;
  int vector_bytes;  // of the registers that it was compiled for
  const FunctorId* id;
  // Inputs, then upstream gradients -> gradients of the inputs; null: none is compiled.
  const PointwiseKernel* backward;
  // float32 and float64 on the CPU: see cpu::pointwise_loop in cpu/loop.h.
  void (*cpu[2])(const void* functor, void* const* data, const std::int64_t* step,
                 std::int64_t count);
  // Adds the formula's operations and results to a list instead of computing them. The list has the
  // arguments already. The kernel of a gradient has the trace of its formula. Null: there is none.
  void (*trace)(const void* functor, detail::FormulaTrace& list) = nullptr;
  // The functor's names of its arguments and results, separated by spaces: "i f g o c"; or null.
  const char* argument_names = nullptr;
  const char* result_names = nullptr;
  // The loop may read inputs again after it wrote outputs. If an output is also an input, the loop
  // then needs a copy of that input.
  bool reads_again = false;
  int order = 0;  // of the derivative: 0 is the formula, 1 its gradient, 2 the gradient of that
  // The arithmetic that the loops were compiled for. Null for the library's pages and for
  // gradients.
  detail::Arithmetic (*arithmetic)() = nullptr;
};

// The value of LoopPlan::overwritten for this plan: 0 if the kernel does not read inputs again.
inline std::uint64_t overwritten_inputs(const PointwiseKernel& kernel, const LoopPlan& plan) {
  std::uint64_t result = 0;
  for (int in = 0; kernel.reads_again && in < kernel.inputs; ++in) {
    for (int out = kernel.inputs; out < kernel.inputs + kernel.outputs; ++out) {
      const bool same = plan.operands[in].data == plan.operands[out].data;
      result |= static_cast<std::uint64_t>(same) << in;
    }
  }
  return result;
}

// --- arity, results and names of a functor ---

namespace detail {
using Probe = Vec<float, isa::Lane>;  // a number type for finding a functor's arity and results
template <std::size_t>
struct ProbeAt {
  using type = Probe;
};
template <class F, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return std::is_invocable_v<const F&, typename ProbeAt<I>::type...>;
}
template <class F, int N = 1>
constexpr int find_arity() {
  static_assert(
      N <= 24,
      "a pointwise functor takes 1 to 24 numbers: auto operator()(auto a, auto b, ...) const");
  if constexpr (N > 24) {
    return 1;  // the static_assert has reported it
  } else if constexpr (takes<F>(std::make_index_sequence<N>{})) {
    return N;
  } else {
    return find_arity<F, N + 1>();
  }
}
template <class F, std::size_t... I>
auto result_of(std::index_sequence<I...>)
    -> decltype(as_outputs(std::declval<const F&>()(typename ProbeAt<I>::type{}...)));
}  // namespace detail

template <class F>
inline constexpr int kArity = detail::find_arity<F>();
template <class F>
inline constexpr int kResultCount = static_cast<int>(decltype(detail::result_of<F>(
    std::make_index_sequence<static_cast<std::size_t>(kArity<F>)>{}))::size);
namespace detail {
template <class F>
constexpr const char* type_text() {
  return __PRETTY_FUNCTION__;
}
// "MinimalGate" for models::MinimalGate, "Gate" for Gate<2>, "lambda" for a lambda.
constexpr std::string_view short_name(std::string_view text) {  // of type_text()
  text.remove_prefix(text.find("F =") == text.npos ? text.find("F=") + 2 : text.find("F =") + 3);
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  text = text.substr(0, std::min(text.find(';'), text.rfind(']')));
  if (text.find("lambda") != text.npos) return "lambda";
  const std::size_t arguments = text.find('<');
  text = text.substr(0, arguments);
  const std::size_t scope = text.rfind(':');
  return scope == text.npos ? text : text.substr(scope + 1);
}
template <class F>
struct TypeName {
  static constexpr std::string_view name = short_name(type_text<F>());
  static constexpr auto ended = [] {
    std::array<char, name.size() + 1> text{};
    std::copy(name.begin(), name.end(), text.begin());
    return text;
  }();
};
}  // namespace detail

template <class F>
constexpr const char* functor_name() {
  if constexpr (requires { F::name; }) {
    return F::name;
  } else {
    return detail::TypeName<F>::ended.data();
  }
}

// Names that a functor may declare:
//   static constexpr const char* arguments = "i f g o c";
//   static constexpr const char* results = "h c";
template <class F>
constexpr const char* argument_names() {
  if constexpr (requires { F::arguments; }) {
    return F::arguments;
  } else {
    return nullptr;
  }
}
template <class F>
constexpr const char* result_names() {
  if constexpr (requires { F::results; }) {
    return F::results;
  } else {
    return nullptr;
  }
}

// --- the gradient of a functor, which is a functor, too ---

// Takes F's inputs x and the upstream gradients dy of its results. Returns
//   dx_i = sum over j of dy_j * dF_j/dx_i.
// A term is 0 if its dy_j or its dF_j/dx_i is exactly 0.
template <class F>
struct Backward {
  static constexpr const char* name = functor_name<F>();
  F formula;

  template <class... Args>
  TL_HD auto operator()(Args... args) const {
    return evaluate<(dual::kExact<Args> && ...)>(args...);
  }
  // The same with plain products: NaN if a term is 0 times infinity. Otherwise equal, except for
  // the sign of a zero.
  template <class... Args>
  TL_HD auto quick(Args... args) const {
    return evaluate<false>(args...);
  }

 private:
  template <bool Exact, class... Args>
  TL_HD auto evaluate(Args... args) const {
    return gradients<Exact>(outputs(args...),
                            std::make_index_sequence<static_cast<std::size_t>(kArity<F>)>{},
                            std::make_index_sequence<static_cast<std::size_t>(kResultCount<F>)>{});
  }
  template <bool Exact, class Pack, std::size_t... I, std::size_t... J>
  TL_HD auto gradients(const Pack& args, std::index_sequence<I...>,
                       std::index_sequence<J...>) const {
    auto results = as_outputs(formula(seed<(1u << I), Exact>(output<I>(args))...));
    return outputs(gradient_of<I, Exact>(args, outputs(output<J>(results)...),
                                         outputs(output<kArity<F> + J>(args)...),
                                         std::index_sequence<J...>{})...);
  }
  template <std::size_t I, bool Exact, class Pack, class Results, class Upstream, std::size_t... J>
  TL_HD static auto gradient_of(const Pack& args, const Results& results, const Upstream& upstream,
                                std::index_sequence<J...>) {
    return sum(output<I>(args), term<(1u << I), Exact>(output<J>(results), output<J>(upstream))...);
  }
  struct Nothing {};
  template <unsigned Bit, bool Exact, class Result, class Dy>
  TL_HD static auto term(const Result& result, const Dy& dy) {
    if constexpr ((dual::kInputs<Result> & Bit) != 0) {
      return dual::product<Exact>(dy, result.partial[dual::index_of(dual::kInputs<Result>, Bit)]);
    } else {
      return Nothing{};
    }
  }
  template <class X>
  TL_HD static auto sum(const X& x) {
    return dual::As<decltype(dual::innermost(x))>::convert(0.0);
  }
  template <class X, class First, class... Rest>
  TL_HD static auto sum(const X& x, const First& first, const Rest&... rest) {
    if constexpr (std::is_same_v<First, Nothing>) {
      return sum(x, rest...);
    } else {
      return plus(first, sum(x, rest...),
                  std::bool_constant<(std::is_same_v<Rest, Nothing> && ...)>{});
    }
  }
  template <class A, class B>
  TL_HD static auto plus(const A& a, const B&, std::true_type) {
    return a;  // the last term
  }
  template <class A, class B>
  TL_HD static auto plus(const A& a, const B& b, std::false_type) {
    return a + b;
  }
};

template <class F>
inline constexpr int kArity<Backward<F>> = kArity<F> + kResultCount<F>;
template <class F>
inline constexpr int kResultCount<Backward<F>> = kArity<F>;

// --- kernels ---

inline constexpr int kMaxOrder = 2;  // of the derivatives that are compiled for a functor

// A functor that declares `static constexpr bool differentiable = false;` gets no gradient kernels.
// For formulas that a tape never records, such as the update rules of optimizers.
template <class F>
inline constexpr bool kDifferentiable = true;
template <class F>
requires requires { F::differentiable; }
inline constexpr bool kDifferentiable<F> = F::differentiable;

// True if the GPU has a kernel of F for many tensors at once (TransformAll): for update rules, and
// for formulas that declare `static constexpr bool for_many = true;`.
template <class F>
inline constexpr bool kForMany = !kDifferentiable<F>;
template <class F>
requires requires { F::for_many; }
inline constexpr bool kForMany<F> = F::for_many;

template <class F>
inline constexpr int kOrder = 0;
template <class F>
inline constexpr int kOrder<Backward<F>> = 1 + kOrder<F>;

template <class F>
inline constexpr bool kIsBackward = false;
template <class F>
inline constexpr bool kIsBackward<Backward<F>> = true;

// A list of functors whose kernels are compiled in the library, once for each instruction set.
template <class... F>
using Page = TypeList<F...>;

// The page that contains F; void for a user's functor, which is compiled where it is used. A page
// has two static member functions: kernels() returns its kernels for this machine, in order, and
// register_cuda() registers its CUDA kernels, if this build has any.
template <class F>
struct PageOf {
  using type = void;
};

namespace detail {
template <class F>
struct UserFormula {  // F without its derivatives
  using type = F;
};
template <class F>
struct UserFormula<Backward<F>> : UserFormula<F> {};
template <class F>
constexpr auto cuda_registration() -> void (*)() {
  using P = typename PageOf<F>::type;
  if constexpr (std::is_void_v<P>) {
    return nullptr;
  } else {
    return &P::register_cuda;
  }
}
}  // namespace detail

template <class F>
inline constexpr FunctorId kFunctorId = {
    detail::type_text<typename detail::UserFormula<F>::type>(),
    detail::cuda_registration<typename detail::UserFormula<F>::type>()};

}  // namespace tapeloop
