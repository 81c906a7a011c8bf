// SPDX-License-Identifier: MIT
// Finds which arguments the gradient of a formula reads, from the formula's trace. It
// is called only for an input that was written after the forward pass, or to whose
// memory somebody has a pointer.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "tapeloop/autograd/ops/formula.h"
#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

namespace {

using detail::FormulaOp;

template <class... Rule>
bool is_flat(FormulaOp op, TypeList<Rule...>) {
  return ((Rule::flat && op == detail::kOpOf<Rule>) || ...);
}

// The dependencies in a formula and its derivatives, without numbers: constant factors and terms
// are omitted, and all functions are the same.
class Structure {
 public:
  explicit Structure(const detail::FormulaTrace& trace) {
    add(Kind::constant);
    PoolVector<int> places;
    for (const auto& operation : trace.operations) {
      places.push_back(translate(operation, places));
      if (operation.op == FormulaOp::argument) arguments_.push_back(places.back());
    }
    for (const int place : trace.results) results_.push_back(places[index(place)]);
  }

  // Replaces y = f(x) by dx_i = sum over j of dy_j * df_j/dx_i, a function of x and dy.
  void differentiate() {
    const std::size_t count = nodes_.size(), inputs = arguments_.size();
    PoolVector<int> gradients(inputs, kZero);
    for (std::size_t j = 0; j < results_.size(); ++j) arguments_.push_back(add_argument());
    for (std::size_t i = 0; i < inputs; ++i) {
      const PoolVector<int> slopes = derivatives(count, nodes_[index(arguments_[i])].reads);
      for (std::size_t j = 0; j < results_.size(); ++j) {
        if (results_[j] == kZero) continue;
        const int term = product(arguments_[inputs + j], slopes[index(results_[j])]);
        gradients[i] = sum(gradients[i], term);
      }
    }
    results_ = std::move(gradients);
  }

  // The arguments that a result depends on, one bit for each.
  std::uint64_t reads(std::size_t result) const { return reads_of(results_[result]); }

 private:
  enum class Kind { constant, argument, sum, product, choice, function, step };
  struct Node {
    Kind kind;
    int a, b, c;
    std::uint64_t reads;
  };
  static constexpr int kZero = -1;     // 0 for all values of the arguments
  static constexpr int kConstant = 0;  // the first node

  static std::size_t index(int place) { return static_cast<std::size_t>(place); }
  std::uint64_t reads_of(int x) const { return x == kZero ? 0 : nodes_[index(x)].reads; }
  bool constant(int x) const { return x == kZero || nodes_[index(x)].reads == 0; }

  int add(Kind kind, int a = kZero, int b = kZero, int c = kZero) {
    nodes_.push_back({kind, a, b, c, reads_of(a) | reads_of(b) | reads_of(c)});
    return static_cast<int>(nodes_.size()) - 1;
  }
  int add_argument() {
    const int node = add(Kind::argument);
    nodes_.back().reads = std::uint64_t{1} << argument_count_++;
    return node;
  }
  int sum(int a, int b) {
    if (a == kZero || b == kZero) return a == kZero ? b : a;
    if (constant(a) || constant(b)) return constant(a) ? b : a;
    return add(Kind::sum, a, b);
  }
  int product(int a, int b) {
    if (a == kZero || b == kZero) return kZero;
    if (constant(a) || constant(b)) return constant(a) ? b : a;
    return add(Kind::product, a, b);
  }
  int choice(int condition, int a, int b) {
    if (a == kZero && b == kZero) return kZero;
    return add(Kind::choice, condition, a, b);
  }
  int function(int a, int b = kZero) {
    return constant(a) && constant(b) ? kConstant : add(Kind::function, a, b);
  }
  int step(int a, int b = kZero, int c = kZero) { return add(Kind::step, a, b, c); }

  int translate(const detail::FormulaTrace::Operation& operation, const PoolVector<int>& places) {
    const auto operand = [&](int place) { return place < 0 ? kZero : places[index(place)]; };
    if (operation.op == FormulaOp::argument) return add_argument();
    if (operation.op == FormulaOp::constant) return kConstant;
    const int a = operand(operation.a), b = operand(operation.b), c = operand(operation.c);
    if (operation.op == detail::kOpOf<formula::Square>) return product(a, a);
    if (operation.op == detail::kOpOf<formula::Abs>) return product(a, step(a));
    if (is_flat(operation.op, formula::Functions{})) return step(a);
    switch (operation.op) {
      case FormulaOp::add:
      case FormulaOp::sub: return sum(a, b);
      case FormulaOp::negate: return a;
      case FormulaOp::mul: return product(a, b);
      case FormulaOp::div: return product(a, function(b));
      case FormulaOp::select: return choice(a, b, c);
      case FormulaOp::max:
      case FormulaOp::min: return choice(step(a, b), a, b);
      case FormulaOp::clamp: return choice(step(a, b, c), a, sum(b, c));
      case FormulaOp::less:
      case FormulaOp::less_equal:
      case FormulaOp::equal:
      case FormulaOp::both:
      case FormulaOp::either:
      case FormulaOp::opposite: return step(a, b);
      default: return function(a, b);
    }
  }

  // The derivatives of the first `count` nodes by the argument whose bit is `bit`.
  PoolVector<int> derivatives(std::size_t count, std::uint64_t bit) {
    PoolVector<int> slopes(count, kZero);
    const auto slope = [&](int x) { return x == kZero ? kZero : slopes[index(x)]; };
    for (std::size_t i = 0; i < count; ++i) {
      const Node node = nodes_[i];
      if ((node.reads & bit) == 0) continue;
      const int here = static_cast<int>(i);
      switch (node.kind) {
        case Kind::argument: slopes[i] = kConstant; break;
        case Kind::sum: slopes[i] = sum(slope(node.a), slope(node.b)); break;
        case Kind::product:
          slopes[i] = sum(product(slope(node.a), node.b), product(node.a, slope(node.b)));
          break;
        case Kind::choice: slopes[i] = choice(node.a, slope(node.b), slope(node.c)); break;
        // The slope of a function is another function of the same operands.
        case Kind::function:
          slopes[i] = sum(product(slope(node.a), here), product(slope(node.b), here));
          break;
        case Kind::constant:
        case Kind::step: break;
      }
    }
    return slopes;
  }

  PoolVector<Node> nodes_;
  PoolVector<int> arguments_, results_;
  int argument_count_ = 0;
};

// The arguments that each gradient of a kernel reads, one bit for each argument.
struct Reads {
  const PointwiseKernel* kernel = nullptr;
  std::byte functor[kMaxFunctorBytes] = {};
  std::uint64_t of_gradient[kMaxOperands] = {};

  bool is_of(const PointwiseKernel& other, const detail::FormulaBytes& settings) const {
    return kernel == &other && std::memcmp(functor, settings.bytes, other.functor_bytes) == 0;
  }
  void find(const PointwiseKernel& other, const detail::FormulaBytes& settings) {
    const detail::FormulaTrace trace = detail::trace_of(other, settings.bytes);
    kernel = nullptr;
    if (trace.operations.empty()) {
      std::fill_n(of_gradient, kMaxOperands, ~std::uint64_t{0});
    } else {
      Structure structure(trace);
      for (int order = 0; order <= other.order; ++order) structure.differentiate();
      for (int i = 0; i < other.inputs; ++i) {
        of_gradient[i] = structure.reads(static_cast<std::size_t>(i));
      }
    }
    std::memcpy(functor, settings.bytes, other.functor_bytes);
    kernel = &other;
  }
};

// The results for the last few formulas. A training step needs the same ones again and again, and a
// trace takes some microseconds.
struct LastReads final : detail::KeptByOperations {
  std::array<Reads, 16> kept;
  std::size_t next = 0;
};

const Reads& reads_of(const PointwiseKernel& kernel, const detail::FormulaBytes& functor) {
  if (const auto* const last = static_cast<LastReads*>(detail::kept_by_operations())) {
    for (const Reads& reads : last->kept) {
      if (reads.is_of(kernel, functor)) return reads;
    }
  }
  Reads found;
  found.find(kernel, functor);  // allocates, which may free the list
  if (detail::kept_by_operations() == nullptr) {
    detail::keep_for_operations(std::make_unique<LastReads>());
  }
  auto& list = static_cast<LastReads&>(*detail::kept_by_operations());
  Reads& reads = list.kept[list.next];
  list.next = (list.next + 1) % list.kept.size();
  return reads = found;
}

}  // namespace

bool detail::gradient_reads(const PointwiseKernel& kernel, const FormulaBytes& functor,
                            std::size_t i, std::span<const int> columns,
                            std::span<const bool> wanted) {
  const Reads& reads = reads_of(kernel, functor);
  std::uint64_t read = 0, asked = 0;
  std::size_t argument = 0;
  for (std::size_t input = 0; input < columns.size(); ++input) {
    for (int column = 0; column < columns[input]; ++column, ++argument) {
      if (wanted[input]) read |= reads.of_gradient[argument];
      if (input == i) asked |= std::uint64_t{1} << argument;
    }
  }
  return (read & asked) != 0;
}

}  // namespace tapeloop
