// SPDX-License-Identifier: MIT
// What a pointwise kernel is to the rest of the library: function pointers for one functor, and the kernel of its
// backward. Also Backward<F>, the functor that is F's exact gradient, and pages of functors compiled in the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "tapeloop/autograd/number/dual_functions.h"
#include "tapeloop/autograd/tensor/shape.h"

namespace tapeloop {

inline constexpr int kMaxOperands = 40;              // of one kernel: inputs and outputs
inline constexpr std::size_t kMaxFunctorBytes = 64;  // settings of one functor
inline constexpr int kMaxItemOperands = 10;          // of a PointwiseItem

// Which elements a kernel walks over: for each operand where its first element is and how far apart the next ones
// are along each axis. Inputs come first, then outputs. An output with data == nullptr is not wanted.
struct LoopPlan {
  struct Operand {
    char* data;
    std::int64_t strides[kMaxRank];  // in elements
  };
  int rank;  // at least 1
  std::int64_t sizes[kMaxRank];
  Operand operands[kMaxOperands];
  std::uint64_t overwritten = 0;  // bit k: input k is also an output; see overwritten_inputs()

  std::int64_t rows() const {  // runs along the last axis
    std::int64_t count = 1;
    for (int i = 0; i + 1 < rank; ++i) count *= sizes[i];
    return count;
  }
};

// What tells one functor's type from another's, by address, in every part of a program: a device other than the CPU finds
// its kernels by it.
struct FunctorId {
  const char* type;  // a text with the type's name in it, as the compiler writes it
  void (
      *register_cuda)();  // puts the functor's page among the kernels of CUDA; null: it stands on no page
};

// How far the updates of a tensor have come: how often it was updated, and in which of its owner's calls.
struct UpdateNumber {
  std::int64_t update = 0;
  std::int64_t call = 0;
};

// One of many runs of a kernel: its own settings and its own operands, each of `count` elements side by side.
struct PointwiseItem {
  const void* functor;
  std::int64_t count;
  void* data[kMaxItemOperands];  // inputs, then outputs
  unsigned repeated;             // bit k: operand k is one element, the same for all
  UpdateNumber* made;  // on the device: where the kernel writes `number`; null: nobody asks
  UpdateNumber number;
};

namespace detail {
struct Arithmetic;  // compiled_arithmetic.h
}

struct PointwiseKernel {
  const char* name;
  int inputs;
  int outputs;
  std::size_t functor_bytes;
  int vector_bytes;  // of the registers that it was compiled for
  const FunctorId* id;
  const PointwiseKernel*
      backward;  // inputs, then upstream gradients -> gradients of the inputs; null: none compiled
  // float32 and float64 on the CPU: see cpu::pointwise_loop in cpu/loop.h.
  void (*cpu[2])(const void* functor, void* const* data, const std::int64_t* step,
                 std::int64_t count);
  // Notes the formula's operations instead of doing them: see formula.h. A gradient has the trace of the formula that it
  // is the gradient of. Null: there is none.
  void (*trace)(const void* functor, const int* arguments, int* results) = nullptr;
  // What the functor calls its arguments and results, words apart: "i f g o c"; null where it does not say.
  const char* argument_names = nullptr;
  const char* result_names = nullptr;
  // The loop may read inputs again after it wrote outputs. If an output is also an input, the loop
  // then needs a copy of that input.
  bool reads_again = false;
  int order = 0;  // of the derivative: 0 is the formula, 1 its gradient, 2 the gradient of that
  // The arithmetic that the loops were compiled for; null: of the library's page, or of a gradient.
  detail::Arithmetic (*arithmetic)() = nullptr;
};

// The value of LoopPlan::overwritten for these operands: 0 if the kernel does not read inputs
// again.
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

// --- what a functor looks like ---

namespace detail {
using Probe = Vec<float, isa::Lane>;  // some number to ask a functor what it takes and gives
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
    return 1;  // said once is enough
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
template <class F>
constexpr const char* functor_name() {
  if constexpr (requires { F::name; }) {
    return F::name;
  } else {
    return "lambda";
  }
}

// Names for people, of a functor that gives them: static constexpr const char* arguments = "i f g o c", results = "h c";
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

// --- its gradient, as a functor again ---

// Takes F's inputs x and the upstream gradients dy of its results; returns dx_i = sum over j of dy_j * dF_j/dx_i.
// A term is 0 if its dy_j or its dF_j/dx_i is exactly 0.
template <class F>
struct Backward {
  static constexpr const char* name = functor_name<F>();
  F formula;

  template <class... Args>
  TL_HD auto operator()(Args... args) const {
    return evaluate<(dual::kExact<Args> && ...)>(args...);
  }
  // The same with plain products: NaN where 0 met an infinity, otherwise equal except for the sign
  // of a zero.
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

inline constexpr int kMaxOrder = 2;  // derivatives compiled for every functor

// A functor that declares `static constexpr bool differentiable = false;` gets no kernels of its gradient: for formulas
// that never stand on a tape, such as the update rules of optimizers.
template <class F>
inline constexpr bool kDifferentiable = true;
template <class F>
requires requires { F::differentiable; }
inline constexpr bool kDifferentiable<F> = F::differentiable;

// Whether there is a GPU kernel that does many tensors at once, for TransformAll: of update rules, and of formulas that declare
// `static constexpr bool for_many = true;`.
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
struct Page {
  static constexpr std::size_t size = sizeof...(F);
  template <class G>
  static constexpr bool contains = (std::is_same_v<F, G> || ...);
  template <class G>
  static constexpr std::size_t index_of() {
    std::size_t index = 0;
    static_cast<void>(((std::is_same_v<F, G> ? true : (++index, false)) || ...));
    return index;
  }
};

// The page that F stands on; void for a user's functor, which is compiled where it is used. A page P has two static
// member functions: kernels() returns its kernels for this machine, in order, and register_cuda() hands its kernels for
// CUDA, if this build has any, to that backend.
template <class F>
struct PageOf {
  using type = void;
};

namespace detail {
template <class F>
struct UserFormula {  // the user's own functor, beneath its derivatives
  using type = F;
};
template <class F>
struct UserFormula<Backward<F>> : UserFormula<F> {};
template <class F>
constexpr const char* type_text() {
  return __PRETTY_FUNCTION__;
}
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
